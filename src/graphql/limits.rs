//! How much one document may ask for. What is counted is counted through fragments, each fragment once, so that a document in
//! which fragments multiply is refused as fast as any other.

use std::collections::HashMap;

use async_graphql::parser::types::{ExecutableDocument, OperationType, Selection, SelectionSet};
use async_graphql::{Request, ServerError, ServerResult};

use super::document::meant;
use super::error::{code, with_code};
use crate::config::Limits;
use scv_domain::page::{DEFAULT_PAGE, MAX_PAGE};

/// What the operation of a request is, which is within the limits. To be asked before async-graphql looks at the document: what
/// it walks first, it walks once for every path through fragments.
///
/// # Errors
/// The document cannot be read, or has more than it may have.
pub fn operation(limits: &Limits, request: &mut Request) -> ServerResult<Option<OperationType>> {
    within("bytes", request.query.len(), limits.document_bytes)?;
    let most = limits.tokens.saturating_add(1);
    within("tokens", tokens(&request.query).take(most).count(), limits.tokens)?;
    let name = request.operation_name.clone();
    let document = request.parsed_query()?;
    let mut fragments = Fragments {
        document,
        known: HashMap::new(),
    };
    for (_, operation) in document.operations.iter() {
        let counts = fragments.count(&operation.node.selection_set.node)?;
        within("fields", counts.fields, limits.fields)?;
        within("root fields", counts.roots, limits.root_fields)?;
        within("aliases", counts.aliases, limits.aliases)?;
    }
    Ok(meant(document, name.as_deref()).map(|operation| operation.ty))
}

fn within(what: &str, count: usize, limit: usize) -> ServerResult<()> {
    if count <= limit {
        return Ok(());
    }
    let message = format!("the document has more than {limit} {what}, which is the limit: ask for less at a time");
    Err(with_code(ServerError::new(message, None), code::QUERY_TOO_COMPLEX))
}

/// What a list of fields comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    fields: usize,
    /// Those of the list itself.
    roots: usize,
    aliases: usize,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.fields = self.fields.saturating_add(other.fields);
        self.roots = self.roots.saturating_add(other.roots);
        self.aliases = self.aliases.saturating_add(other.aliases);
    }

    fn and_itself(self) -> Self {
        Self {
            fields: self.fields.saturating_add(1),
            ..self
        }
    }
}

struct Fragments<'a> {
    document: &'a ExecutableDocument,
    /// What each fragment comes to; none while it is counted.
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
                        roots: 1,
                        aliases: inner.aliases.saturating_add(usize::from(field.node.alias.is_some())),
                    });
                }
                // A fragment is looked at like a field, whether there is anything in it or not.
                Selection::InlineFragment(inline) => {
                    counts.add(self.count(&inline.node.selection_set.node)?.and_itself())
                }
                Selection::FragmentSpread(spread) => counts.add(self.of(&spread.node.fragment_name.node)?.and_itself()),
            }
        }
        Ok(counts)
    }

    fn of(&mut self, name: &str) -> ServerResult<Counts> {
        // One that is not there is told of by the rules of GraphQL.
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

/// The tokens of a document, roughly as its grammar has them: words and numbers, strings, and signs.
fn tokens(document: &str) -> impl Iterator<Item = ()> + '_ {
    let mut rest = document;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',' || c == '\u{feff}');
            let first = rest.chars().next()?;
            let length = match first {
                '#' => {
                    rest = rest.split_once(['\n', '\r']).map_or("", |(_, behind)| behind);
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

/// The bytes of the string that a text begins with, to its end if it is not closed.
fn string_length(text: &str) -> usize {
    let is_block = text.starts_with(r#"""""#);
    let quote = if is_block { r#"""""# } else { "\"" };
    let mut at = quote.len();
    loop {
        let rest = &text[at..];
        match rest.find(['"', '\\']) {
            None => return text.len(),
            // A block has no escapes but that of the quotes which would end it.
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

/// No price is higher, so that those of all fields can be added up.
const MAX_PRICE: usize = 1 << 40;

/// The price of a list that has no pages: as many entries as are usual.
pub(super) fn list_cost(entry: usize) -> usize {
    entries_cost(DEFAULT_PAGE, entry)
}

/// The price of so many entries, and one.
pub(super) fn entries_cost(count: usize, entry: usize) -> usize {
    count.saturating_mul(entry).saturating_add(1).min(MAX_PRICE)
}

/// Random relabellings that cost as much as a field.
const RELABELLINGS_A_FIELD: usize = 25;

/// The price of random relabellings, of which there may be many more than of anything else.
pub(super) fn relabelling_cost(permutations: i32, fields: usize) -> usize {
    let relabellings = usize::try_from(permutations).unwrap_or_default();
    (relabellings / RELABELLINGS_A_FIELD)
        .saturating_add(fields)
        .saturating_add(1)
}

/// The price of a page: what one entry costs, times the entries that are asked for, and one.
pub(super) fn page_cost(first: Option<i32>, last: Option<i32>, entry: usize) -> usize {
    // A page that is larger than one may be is refused by its own list, which says why.
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
        // a, y and f's b at the root, f's two fields twice, and three fragments.
        assert_eq!(
            counts,
            Counts {
                fields: 9,
                roots: 3,
                aliases: 3
            }
        );
    }

    #[test]
    fn fragments_that_multiply_are_counted_at_once() {
        let levels: String = (0..200)
            .map(|level| format!("fragment f{level} on Q {{ ...f{next} ...f{next} }} ", next = level + 1))
            .collect();
        let counts = counted(&format!("{{ ...f0 }} {levels} fragment f200 on Q {{ x }}")).unwrap();
        assert_eq!(counts.fields, usize::MAX);
    }

    #[test]
    fn fragments_that_lead_nowhere_count_as_well() {
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
    fn tokens_are_words_strings_and_signs() {
        for (document, count) in [
            ("", 0),
            ("{ a, b }", 4),
            ("{ a(x: -1.5, y: $v) ...f @skip(if: true) }", 23),
            ("# a comment { } \n{ a }", 3),
            (r#"{ a(x: "b \" c } {", y: """ " \""" """) }"#, 11),
            (r#"{ a(x: "never closed) }"#, 6),
            // A block has one escape, and a backslash before anything else is one.
            (r#"{ a(x: """\"""" """) b c }"#, 10),
            (r#"{ a(x: """C:\" """) b c }"#, 10),
        ] {
            assert_eq!(tokens(document).count(), count, "{document}");
        }
    }

    #[test]
    fn a_page_costs_as_much_as_its_entries() {
        assert_eq!(page_cost(Some(10), None, 7), 71);
        assert_eq!(page_cost(None, Some(3), 7), 22);
        assert_eq!(page_cost(None, None, 7), 141);
        assert_eq!(page_cost(Some(-1), None, 7), 1);
        assert_eq!(page_cost(Some(i32::MAX), None, 7), 701);
        assert_eq!(page_cost(Some(100), None, usize::MAX), MAX_PRICE);
    }
}
