//! Queries that reach everything that the schema reaches.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::support::client::{Client, text};

/// Maximum nesting depth of objects. A resolver decides by the object that it belongs to, not by the path to it, and this depth
/// reaches every field (see [`Walk::missed`]).
const MAX_DEPTH: usize = 4;

/// The schema, with the arguments for walking it.
pub struct Walk<'a> {
    /// Fields of objects and of interfaces, by the name of the type.
    fields: BTreeMap<String, Vec<Value>>,
    /// The object types of each interface and union.
    members: BTreeMap<String, Vec<String>>,
    ids: &'a [&'a str],
    names: &'a [&'a str],
    /// A version to compare others with.
    version: &'a str,
    /// What the queries select, as `Type.field`.
    selected: RefCell<BTreeSet<String>>,
}

const TYPES: &str = "{ __schema { types { name kind possibleTypes { name }
    fields { name args { name defaultValue type { ...t } } type { ...t } } } } }
    fragment t on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
    ofType { kind name ofType { kind name ofType { kind name } } } } } } } }";

impl<'a> Walk<'a> {
    /// A walk that starts at each of some global ids and names, and compares versions with one version.
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
            selected: RefCell::default(),
        }
    }

    /// The same walk past all fields of some types, and past some fields of others.
    pub fn without(mut self, types: &[&str], fields: &[(&str, &str)]) -> Self {
        for (outer, own) in &mut self.fields {
            own.retain(|field| {
                let (_, kind) = named(&field["type"]);
                !types.contains(&kind.as_str()) && !fields.contains(&(outer, field["name"].as_str().unwrap()))
            });
        }
        for name in types {
            self.fields.remove(*name);
        }
        for own in self.members.values_mut() {
            own.retain(|member| !types.contains(&member.as_str()));
        }
        self
    }

    /// The fields of objects that queries reach and that none has selected so far, as `Type.field`.
    pub fn missed(&self) -> Vec<String> {
        let selected = self.selected.borrow();
        let (mut reached, mut waiting) = (BTreeSet::new(), vec!["Query".to_owned()]);
        let mut missed = Vec::new();
        while let Some(outer) = waiting.pop() {
            waiting.extend(self.members.get(&outer).into_iter().flatten().cloned());
            // An interface is walked as the objects that it stands for.
            let is_walked = outer != "Query" && !self.members.contains_key(&outer);
            for field in self.fields.get(&outer).into_iter().flatten() {
                let name = format!("{outer}.{}", text(&field["name"]));
                if is_walked && !selected.contains(&name) {
                    missed.push(name);
                }
                let (_, kind) = named(&field["type"]);
                if reached.insert(kind.clone()) {
                    waiting.push(kind);
                }
            }
        }
        missed
    }

    /// One query per field of the query type and per id or name that the field accepts.
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

    /// Everything that a type reaches. An interface has one selection per object type, because their fields may
    /// conflict.
    fn selections(&self, kind: &str) -> Vec<String> {
        let of = |kind: &str| self.selection(kind, &mut vec!["Query".to_owned()], &mut BTreeSet::new());
        match self.members.get(kind) {
            None => vec![of(kind)],
            Some(members) => {
                let of_member = |member: &String| format!("{{ ... on {member} {} }}", of(member));
                members.iter().map(of_member).collect()
            }
        }
    }

    /// Everything that an object reaches. It contributes only its scalar fields within another object of its type, and
    /// where a field of the same name and type was `entered` already: every way between two types is taken once.
    fn selection(&self, kind: &str, path: &mut Vec<String>, entered: &mut BTreeSet<String>) -> String {
        let Some(fields) = self.fields.get(kind) else {
            return String::new();
        };
        let mut inner = "__typename".to_owned();
        let is_leaf = |kind: &str, path: &[String]| path.len() > MAX_DEPTH || path.iter().any(|outer| outer == kind);
        let is_within_leaf = is_leaf(kind, path);
        path.push(kind.to_owned());
        for field in fields {
            let outer = kind;
            let (name, (is_scalar, kind)) = (text(&field["name"]), named(&field["type"]));
            let given = self.given(field);
            let way = format!("{outer}.{name}");
            let is_within =
                self.is_flat(&kind) || (!is_within_leaf && (is_leaf(&kind, path) || entered.insert(way.clone())));
            if is_scalar || is_within {
                self.selected.borrow_mut().insert(way);
            }
            if is_scalar {
                write!(inner, " {name}{given}").unwrap();
            } else if is_within {
                write!(inner, " {name}{given} {}", self.selection(&kind, path, entered)).unwrap();
            }
        }
        path.pop();
        format!("{{ {inner} }}")
    }

    /// Whether a type has no field with an object.
    fn is_flat(&self, kind: &str) -> bool {
        let fields = self.fields.get(kind);
        fields.is_some_and(|fields| fields.iter().all(|field| named(&field["type"]).0))
    }

    /// The arguments of an inner field: the required ones, a short page, so that a query does not compute everything,
    /// and one version.
    fn given(&self, field: &Value) -> String {
        let arguments = field["args"].as_array().unwrap();
        let has = |name: &str| arguments.iter().any(|argument| argument["name"] == name);
        let required = arguments.iter().filter(|argument| is_required(argument));
        let mut given: Vec<String> = required
            .map(|argument| match argument["name"].as_str().unwrap() {
                index @ ("image" | "index" | "actual" | "predicted") => format!("{index}: 0"),
                "kind" => "kind: CONFUSION_MATRIX".to_owned(),
                "with" => format!("with: {:?}", self.version),
                other => panic!(
                    "{other} of {} is required, but the walk has no value for it",
                    field["name"]
                ),
            })
            .collect();
        if has("alias") {
            given.push("alias: \"latest\"".to_owned());
        } else if has("first") {
            given.push("first: 1".to_owned());
        }
        if given.is_empty() {
            String::new()
        } else {
            format!("({})", given.join(", "))
        }
    }
}

fn is_required(argument: &Value) -> bool {
    argument["type"]["kind"] == "NON_NULL" && argument["defaultValue"].is_null()
}

/// Whether a type has no fields, and its name without list and non-null markers.
fn named(kind: &Value) -> (bool, String) {
    if kind["ofType"].is_object() {
        return named(&kind["ofType"]);
    }
    let is_scalar = matches!(kind["kind"].as_str(), Some("SCALAR" | "ENUM"));
    (is_scalar, text(&kind["name"]))
}
