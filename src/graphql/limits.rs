//! Limits on a single document. Fields are counted through fragments, but each fragment is walked only once, so that a
//! document in which fragments multiply is refused as fast as any other.

use std::collections::HashMap;

use async_graphql::parser::types::{ExecutableDocument, OperationType, Selection, SelectionSet};
use async_graphql::{Pos, Request, ServerError, ServerResult};

use super::document::selected_operation;
use super::syntax;
use crate::config::Limits;
use scv_api::error::{code, with_code};

/// Checks the document of a request against the limits and returns the type of its selected operation.
///
/// Call this before async-graphql validates the document: it walks a fragment once for every path that leads to it.
///
/// # Errors
/// The document cannot be parsed, or exceeds a limit.
pub fn check(limits: &Limits, request: &mut Request) -> ServerResult<Option<OperationType>> {
    check_count("the document", "bytes", request.query.len(), limits.document_bytes)?;
    check_count("the document", "tokens", tokens(&request.query).count(), limits.tokens)?;
    let name = request.operation_name.clone();
    let parsed = syntax::parse(&request.query)?;
    request.set_parsed_query(parsed);
    let document = request.parsed_query()?;
    let mut fragments = Fragments {
        document,
        known: HashMap::new(),
    };
    for (name, operation) in document.operations.iter() {
        let selections = &operation.node.selection_set.node;
        let counts = fragments.count(selections)?;
        let operation = name.map_or_else(|| "the operation".to_owned(), |name| format!("operation {name}"));
        check_count(&operation, "fields", counts.fields, limits.fields)?;
        check_count(&operation, "root fields", counts.root_fields, limits.root_fields)?;
        check_count(&operation, "aliases", counts.aliases, limits.aliases)?;
        let depth = limits.depth as usize;
        if counts.depth > depth {
            let message = format!(
                "{operation} is {} fields deep; the limit is {depth} (serverInfo.limits.depth): select fewer levels at a time",
                counts.depth
            );
            let beyond = fragments.first_below(selections, depth)?;
            return Err(with_code(ServerError::new(message, beyond), code::QUERY_TOO_COMPLEX));
        }
    }
    Ok(selected_operation(document, name.as_deref()).map(|operation| operation.ty))
}

fn check_count(whole: &str, what: &str, count: usize, limit: usize) -> ServerResult<()> {
    if count <= limit {
        return Ok(());
    }
    // Fragments that multiply may contain more than can be counted.
    let count = match count {
        usize::MAX => "too many".to_owned(),
        count => count.to_string(),
    };
    let message = format!("{whole} has {count} {what}; the limit is {limit}: split it into several requests");
    Err(with_code(ServerError::new(message, None), code::QUERY_TOO_COMPLEX))
}

/// The counts of a selection, including everything below it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    fields: usize,
    /// Fields of the selection itself.
    root_fields: usize,
    aliases: usize,
    /// Levels of fields; `__typename` is on no level.
    depth: usize,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.fields = self.fields.saturating_add(other.fields);
        self.root_fields = self.root_fields.saturating_add(other.root_fields);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.depth = self.depth.max(other.depth);
    }

    /// Adds one field for the fragment itself.
    fn plus_fragment(self) -> Self {
        Self {
            fields: self.fields.saturating_add(1),
            ..self
        }
    }
}

struct Fragments<'a> {
    document: &'a ExecutableDocument,
    /// The counts of each fragment; `None` while it is being counted.
    known: HashMap<&'a str, Option<Counts>>,
}

impl<'a> Fragments<'a> {
    fn count(&mut self, selections: &'a SelectionSet) -> ServerResult<Counts> {
        let mut counts = Counts::default();
        for selection in &selections.items {
            counts.add(self.count_selection(&selection.node)?);
        }
        Ok(counts)
    }

    fn count_selection(&mut self, selection: &'a Selection) -> ServerResult<Counts> {
        Ok(match selection {
            Selection::Field(field) => {
                let inner = self.count(&field.node.selection_set.node)?;
                Counts {
                    fields: inner.fields.saturating_add(1),
                    root_fields: 1,
                    aliases: inner.aliases.saturating_add(usize::from(field.node.alias.is_some())),
                    depth: inner.depth + usize::from(field.node.name.node != "__typename"),
                }
            }
            // A fragment is work even if it is empty, so it counts as a field.
            Selection::InlineFragment(inline) => self.count(&inline.node.selection_set.node)?.plus_fragment(),
            Selection::FragmentSpread(spread) => self.count_fragment(&spread.node.fragment_name.node)?.plus_fragment(),
        })
    }

    /// The first field that is more than `levels` levels deep.
    fn first_below(&mut self, selections: &'a SelectionSet, levels: usize) -> ServerResult<Option<Pos>> {
        for selection in &selections.items {
            // Whatever is deep enough contains such a field, so no other selection is walked.
            if self.count_selection(&selection.node)?.depth <= levels {
                continue;
            }
            return match &selection.node {
                Selection::Field(field) if levels == 0 => Ok(Some(field.pos)),
                Selection::Field(field) => self.first_below(&field.node.selection_set.node, levels - 1),
                Selection::InlineFragment(inline) => self.first_below(&inline.node.selection_set.node, levels),
                Selection::FragmentSpread(spread) => {
                    match self.document.fragments.get(&spread.node.fragment_name.node) {
                        Some(fragment) => self.first_below(&fragment.node.selection_set.node, levels),
                        None => Ok(None),
                    }
                }
            };
        }
        Ok(None)
    }

    fn count_fragment(&mut self, name: &str) -> ServerResult<Counts> {
        // Validation reports an unknown fragment.
        let Some((name, fragment)) = self.document.fragments.get_key_value(name) else {
            return Ok(Counts::default());
        };
        match self.known.get(name.as_str()) {
            Some(Some(counts)) => Ok(*counts),
            Some(None) => Err(with_code(
                ServerError::new(format!("fragment {name} contains itself"), None),
                code::BAD_USER_INPUT,
            )),
            None => {
                self.known.insert(name, None);
                let counts = self.count(&fragment.node.selection_set.node)?;
                self.known.insert(name, Some(counts));
                Ok(counts)
            }
        }
    }
}

/// The tokens of a document, approximately as GraphQL's grammar defines them: words and numbers, strings, and
/// punctuators.
pub(super) fn tokens(document: &str) -> impl Iterator<Item = &str> {
    let mut rest = document;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',' || c == '\u{feff}');
            let first = rest.chars().next()?;
            let length = match first {
                '#' => {
                    rest = rest.split_once(['\n', '\r']).map_or("", |(_, after)| after);
                    continue;
                }
                '"' => string_length(rest),
                '.' => rest.len() - rest.trim_start_matches('.').len(),
                c if is_word(c) => rest.len() - rest.trim_start_matches(is_word).len(),
                c => c.len_utf8(),
            };
            let (token, after) = rest.split_at(length);
            rest = after;
            return Some(token);
        }
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

/// The length in bytes of the string literal at the start of a text; the whole text if the literal is not closed.
fn string_length(text: &str) -> usize {
    let is_block = text.starts_with(r#"""""#);
    let quote = if is_block { r#"""""# } else { "\"" };
    let mut at = quote.len();
    loop {
        let rest = &text[at..];
        match rest.find(['"', '\\']) {
            None => return text.len(),
            // The only escape in a block string is that of its closing quotes.
            Some(place) if is_block && rest[place..].starts_with('\\') => {
                let escaped = rest[place + 1..].starts_with(quote);
                at += place + 1 + if escaped { quote.len() } else { 0 };
            }
            Some(place) if rest[place..].starts_with('\\') => {
                let escaped = rest[place + 1..].chars().next().map_or(0, char::len_utf8);
                at += place + 1 + escaped;
            }
            Some(place) if rest[place..].starts_with(quote) => return at + place + quote.len(),
            Some(place) => at += place + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use async_graphql::parser::parse_query;

    use super::*;

    fn counted(document: &str) -> ServerResult<Counts> {
        let document = parse_query(document).unwrap();
        let mut fragments = Fragments {
            document: &document,
            known: HashMap::new(),
        };
        let (_, operation) = document.operations.iter().next().unwrap();
        fragments.count(&operation.node.selection_set.node)
    }

    #[test]
    fn fields_and_aliases_are_counted_through_fragments() {
        let counts = counted("{ a: x { ...f } ... on Q { y ...f } } fragment f on Q { b: z { w } }").unwrap();
        // Root fields: a, y and f's b. Fields: a, y, f's two fields twice, and three fragments.
        assert_eq!(
            counts,
            Counts {
                fields: 9,
                root_fields: 3,
                aliases: 3,
                depth: 3
            }
        );
    }

    #[test]
    fn fragments_that_multiply_are_counted_in_linear_time() {
        let levels: String = (0..200)
            .map(|level| format!("fragment f{level} on Q {{ ...f{next} ...f{next} }} ", next = level + 1))
            .collect();
        let counts = counted(&format!("{{ ...f0 }} {levels} fragment f200 on Q {{ x }}")).unwrap();
        assert_eq!(counts.fields, usize::MAX);
    }

    #[test]
    fn unknown_fragments_count_too() {
        assert_eq!(
            counted("{ ...a ...a } fragment a on Q { ...b ...b }").unwrap().fields,
            6
        );
    }

    #[test]
    fn a_fragment_that_contains_itself_is_refused() {
        let error = counted("{ ...a } fragment a on Q { x { ...b } } fragment b on Q { ...a }").unwrap_err();
        assert_eq!(error.message, "fragment a contains itself");
    }

    #[test]
    fn the_depth_counts_fields_through_fragments_and_the_first_field_beyond_it_is_found() {
        let text = "{ x a { ...f __typename } } fragment f on Q { y ... on R { b { c { d } } } }";
        let document = parse_query(text).unwrap();
        let mut fragments = Fragments {
            document: &document,
            known: HashMap::new(),
        };
        let (_, operation) = document.operations.iter().next().unwrap();
        let selections = &operation.node.selection_set.node;
        assert_eq!(fragments.count(selections).unwrap().depth, 4);
        for (levels, field) in [(0, "x a"), (2, "c {"), (3, "d }"), (4, "nothing")] {
            let place = fragments.first_below(selections, levels).unwrap();
            let column = text.find(field).map(|at| at + 1);
            assert_eq!(place.map(|place| place.column), column, "below {levels} levels");
        }
    }

    #[test]
    fn a_limit_that_is_exceeded_is_reported_with_both_numbers() {
        let message = |count| check_count("operation a", "fields", count, 20).unwrap_err().message;
        assert_eq!(
            message(21),
            "operation a has 21 fields; the limit is 20: split it into several requests"
        );
        assert_eq!(
            message(usize::MAX),
            "operation a has too many fields; the limit is 20: split it into several requests"
        );
        assert!(check_count("operation a", "fields", 20, 20).is_ok());
    }

    #[test]
    fn tokens_are_words_strings_and_punctuators() {
        for (document, count) in [
            ("", 0),
            ("{ a, b }", 4),
            ("{ a(x: -1.5, y: $v) ...f @skip(if: true) }", 23),
            ("# a comment { } \n{ a }", 3),
            (r#"{ a(x: "b \" c } {", y: """ " \""" """) }"#, 11),
            (r#"{ a(x: "never closed) }"#, 6),
            // In a block string, a backslash that does not escape its quotes is a plain character.
            (r#"{ a(x: """\"""" """) b c }"#, 10),
            (r#"{ a(x: """C:\" """) b c }"#, 10),
        ] {
            assert_eq!(tokens(document).count(), count, "{document}");
        }
    }
}
