//! Limits on a single document. Fields are counted through fragments, but each fragment is walked only once, so that a
//! document in which fragments multiply is refused as fast as any other.

use std::collections::HashMap;

use async_graphql::parser::types::{ExecutableDocument, OperationType, Selection, SelectionSet};
use async_graphql::{Request, ServerError, ServerResult};

use super::document::selected_operation;
use super::error::{code, with_code};
use crate::config::Limits;
use scv_domain::page::{DEFAULT_PAGE, MAX_PAGE};

/// Checks the document of a request against the limits and returns the type of its selected operation.
///
/// Call this before async-graphql validates the document: it walks a fragment once for every path that leads to it.
///
/// # Errors
/// The document cannot be parsed, or exceeds a limit.
pub fn check(limits: &Limits, request: &mut Request) -> ServerResult<Option<OperationType>> {
    check_count("bytes", request.query.len(), limits.document_bytes)?;
    let enough = limits.tokens.saturating_add(1);
    check_count("tokens", tokens(&request.query).take(enough).count(), limits.tokens)?;
    let name = request.operation_name.clone();
    let document = request.parsed_query()?;
    let mut fragments = Fragments {
        document,
        known: HashMap::new(),
    };
    for (_, operation) in document.operations.iter() {
        let counts = fragments.count(&operation.node.selection_set.node)?;
        check_count("fields", counts.fields, limits.fields)?;
        check_count("root fields", counts.root_fields, limits.root_fields)?;
        check_count("aliases", counts.aliases, limits.aliases)?;
    }
    Ok(selected_operation(document, name.as_deref()).map(|operation| operation.ty))
}

fn check_count(what: &str, count: usize, limit: usize) -> ServerResult<()> {
    if count <= limit {
        return Ok(());
    }
    let message =
        format!("the document has more than {limit} {what}, which is the limit: split it into several requests");
    Err(with_code(ServerError::new(message, None), code::QUERY_TOO_COMPLEX))
}

/// The counts of a selection, including everything below it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    fields: usize,
    /// Fields of the selection itself.
    root_fields: usize,
    aliases: usize,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.fields = self.fields.saturating_add(other.fields);
        self.root_fields = self.root_fields.saturating_add(other.root_fields);
        self.aliases = self.aliases.saturating_add(other.aliases);
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
            match &selection.node {
                Selection::Field(field) => {
                    let inner = self.count(&field.node.selection_set.node)?;
                    counts.add(Counts {
                        fields: inner.fields.saturating_add(1),
                        root_fields: 1,
                        aliases: inner.aliases.saturating_add(usize::from(field.node.alias.is_some())),
                    });
                }
                // A fragment is work even if it is empty, so it counts as a field.
                Selection::InlineFragment(inline) => {
                    counts.add(self.count(&inline.node.selection_set.node)?.plus_fragment())
                }
                Selection::FragmentSpread(spread) => {
                    counts.add(self.count_fragment(&spread.node.fragment_name.node)?.plus_fragment())
                }
            }
        }
        Ok(counts)
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
fn tokens(document: &str) -> impl Iterator<Item = ()> + '_ {
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
            rest = &rest[length..];
            return Some(());
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

/// An upper bound on the complexity of a field, so that sums do not overflow.
const MAX_COST: usize = 1 << 40;

/// The complexity of a list without pages, which counts as a page of default size.
pub(super) fn list_cost(entry: usize) -> usize {
    entries_cost(DEFAULT_PAGE, entry)
}

/// The complexity of a field with `count` entries.
pub(super) fn entries_cost(count: usize, entry: usize) -> usize {
    count.saturating_mul(entry).saturating_add(1).min(MAX_COST)
}

/// Random permutations that count as one field.
const PERMUTATIONS_PER_FIELD: usize = 25;

/// The complexity of a permutation test.
pub(super) fn permutation_cost(permutations: i32, fields: usize) -> usize {
    let permutations = usize::try_from(permutations).unwrap_or_default();
    (permutations / PERMUTATIONS_PER_FIELD)
        .saturating_add(fields)
        .saturating_add(1)
}

/// The complexity of a page with the requested number of entries.
pub(super) fn page_cost(first: Option<i32>, last: Option<i32>, entry: usize) -> usize {
    // The list itself refuses a page that is too large, with a more specific message.
    let size = first.or(last).map_or(DEFAULT_PAGE, |size| {
        usize::try_from(size).unwrap_or_default().min(MAX_PAGE)
    });
    entries_cost(size, entry)
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
                aliases: 3
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

    #[test]
    fn the_complexity_of_a_page_is_that_of_its_entries() {
        assert_eq!(page_cost(Some(10), None, 7), 71);
        assert_eq!(page_cost(None, Some(3), 7), 22);
        assert_eq!(page_cost(None, None, 7), 141);
        assert_eq!(page_cost(Some(-1), None, 7), 1);
        assert_eq!(page_cost(Some(i32::MAX), None, 7), 701);
        assert_eq!(page_cost(Some(100), None, usize::MAX), MAX_COST);
    }
}
