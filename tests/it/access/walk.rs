//! Queries that reach everything the schema leads to.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::support::client::{Client, text};

/// Objects that lie within one another at most.
const DEEPEST: usize = 8;

/// Objects that those lie within at most whose fields are computed by the device.
const NEAR: usize = 4;

/// The schema, with arguments to walk it.
pub struct Walk<'a> {
    /// Fields of objects and of interfaces, by the name of the type.
    fields: BTreeMap<String, Vec<Value>>,
    /// Objects that an interface stands for.
    members: BTreeMap<String, Vec<String>>,
    ids: &'a [&'a str],
    names: &'a [&'a str],
    /// A version to compare others with.
    version: &'a str,
}

const TYPES: &str = "{ __schema { types { name kind possibleTypes { name }
    fields { name args { name defaultValue type { ...t } } type { ...t } } } } }
    fragment t on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
    ofType { kind name ofType { kind name ofType { kind name } } } } } } } }";

impl<'a> Walk<'a> {
    /// A walk that begins at each of some global ids and names, and compares versions with one.
    pub async fn of(api: &Client, ids: &'a [&'a str], names: &'a [&'a str], version: &'a str) -> Self {
        let types = api.data(TYPES, json!({})).await["__schema"]["types"].take();
        let types = types
            .as_array()
            .unwrap()
            .iter()
            .filter(|kind| !text(&kind["name"]).starts_with("__"));
        let (mut fields, mut members) = (BTreeMap::new(), BTreeMap::new());
        for kind in types {
            let name = text(&kind["name"]);
            if let Some(own) = kind["fields"].as_array() {
                fields.insert(name.clone(), own.clone());
            }
            if let (Some("INTERFACE" | "UNION"), Some(own)) = (kind["kind"].as_str(), kind["possibleTypes"].as_array())
            {
                members.insert(name, own.iter().map(|member| text(&member["name"])).collect());
            }
        }
        Self {
            fields,
            members,
            ids,
            names,
            version,
        }
    }

    /// One query for each field of the query type and each of the ids and names that it takes.
    pub fn queries(&self) -> Vec<(String, String)> {
        let mut queries = Vec::new();
        for field in &self.fields["Query"] {
            let (name, (_, kind)) = (text(&field["name"]), named(&field["type"]));
            for arguments in self.arguments(field) {
                for inner in self.selections(&kind) {
                    queries.push((name.clone(), format!("{{ {name}{arguments} {inner} }}")));
                }
            }
        }
        queries
    }

    /// The arguments of a field of the query type: each id, each name, pairs of ids, or none.
    fn arguments(&self, field: &Value) -> Vec<String> {
        let names: Vec<_> = field["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|argument| text(&argument["name"]))
            .collect();
        let of = |argument: &str, values: &[&str]| {
            let each = values.iter().map(|value| format!("({argument}: {value:?})"));
            each.collect::<Vec<_>>()
        };
        match names.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["id", "name"] => [of("id", self.ids), of("name", self.names)].concat(),
            ["id"] => of("id", self.ids),
            ["ids"] => vec![format!("(ids: {:?})", self.ids)],
            ["name"] => of("name", &["digits"]),
            names if names.contains(&"a") => {
                let pairs = self.ids.iter().map(|id| format!("(a: {id:?}, b: {id:?})"));
                pairs.collect()
            }
            names if names.contains(&"blocks") => vec!["(blocks: [], dataset: \"digits\")".to_owned()],
            _ => vec![String::new()],
        }
    }

    /// All that a type leads to; of an interface one selection for each object it stands for, whose fields need not agree.
    fn selections(&self, kind: &str) -> Vec<String> {
        let of = |kind: &str| self.selection(kind, &mut vec!["Query".to_owned()]);
        match self.members.get(kind) {
            None => vec![of(kind)],
            Some(members) => {
                let of_member = |member: &String| format!("{{ ... on {member} {} }}", of(member));
                members.iter().map(of_member).collect()
            }
        }
    }

    /// All that an object leads to. An object of a type that it lies in already tells only its plain fields.
    fn selection(&self, kind: &str, path: &mut Vec<String>) -> String {
        let Some(fields) = self.fields.get(kind) else {
            return String::new();
        };
        let mut inner = "__typename".to_owned();
        let ends = path.len() > DEEPEST || path.iter().any(|outer| outer == kind);
        path.push(kind.to_owned());
        for field in fields {
            // The device answers one question after the other.
            if matches!(field["name"].as_str(), Some("featureMaps" | "attribution")) && path.len() > NEAR {
                continue;
            }
            let (name, (is_plain, kind)) = (text(&field["name"]), named(&field["type"]));
            let given = self.given(field);
            match is_plain {
                true => write!(inner, " {name}{given}").unwrap(),
                false if ends => {}
                false => write!(inner, " {name}{given} {}", self.selection(&kind, path)).unwrap(),
            }
        }
        path.pop();
        format!("{{ {inner} }}")
    }

    /// Arguments of an inner field: what it needs, a short page, so that not all that there is is computed at once, and one
    /// version.
    fn given(&self, field: &Value) -> String {
        let arguments = field["args"].as_array().unwrap();
        let has = |name: &str| arguments.iter().any(|argument| argument["name"] == name);
        let needed = arguments.iter().filter(|argument| is_needed(argument));
        let mut given: Vec<String> = needed
            .map(|argument| match argument["name"].as_str().unwrap() {
                "image" => "image: 0".to_owned(),
                "of" => "of: CONFUSION_MATRIX".to_owned(),
                "with" => format!("with: {:?}", self.version),
                other => panic!(
                    "{other} of {} is needed, and the walk has nothing for it",
                    field["name"]
                ),
            })
            .collect();
        match (has("alias"), has("first")) {
            (true, _) => given.push("alias: \"latest\"".to_owned()),
            (false, true) => given.push("first: 1".to_owned()),
            (false, false) => {}
        }
        match given.is_empty() {
            true => String::new(),
            false => format!("({})", given.join(", ")),
        }
    }
}

fn is_needed(argument: &Value) -> bool {
    argument["type"]["kind"] == "NON_NULL" && argument["defaultValue"].is_null()
}

/// Whether a type has no fields, and its name without lists.
fn named(kind: &Value) -> (bool, String) {
    match kind["ofType"].is_object() {
        true => named(&kind["ofType"]),
        false => (
            matches!(kind["kind"].as_str(), Some("SCALAR" | "ENUM")),
            text(&kind["name"]),
        ),
    }
}
