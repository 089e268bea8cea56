//! Suggestions for misspelt names. The validating library's errors are texts, so the names are read from them.

use apollo_compiler::schema::ExtendedType;
use apollo_compiler::{Name, Schema};

use scv_domain::nearest::nearest;

/// The most names that are listed where none is near the one that was given.
const MAX_LISTED: usize = 30;

/// The name that may be meant where an error tells of one that the schema does not have, or all names if they are few.
pub(super) fn suggestion(schema: &Schema, message: &str) -> Option<String> {
    let (given, names) = unknown_name(schema, message)?;
    match nearest(given, names.iter().map(|name| name.as_str())) {
        Some(name) => Some(format!("Did you mean \"{name}\"?")),
        None if names.len() <= MAX_LISTED => {
            let names: Vec<&str> = names.into_iter().map(Name::as_str).collect();
            Some(format!("There are {}", names.join(", ")))
        }
        None => None,
    }
}

/// The name of which an error tells, and those that the schema has in its place.
fn unknown_name<'m, 's>(schema: &'s Schema, message: &'m str) -> Option<(&'m str, Vec<&'s Name>)> {
    let names_in = |start, middle, end| between(message, start, middle, end);
    if let Some((type_name, given)) = names_in("type `", "` does not have a field `", "`") {
        return Some((given, members(schema, type_name)?));
    }
    if let Some((given, type_name)) = names_in("`", "` does not exist on `", "`")
        .or_else(|| names_in("has key ", " not in type ", ""))
        .or_else(|| names_in(": \"", "\" to type ", ""))
    {
        return Some((given, members(schema, type_name)?));
    }
    if let Some((given, place)) = names_in("the argument `", "` is not supported by `", "`") {
        return Some((given, arguments(schema, place)?));
    }
    if let Some((given, _)) = names_in("cannot find directive `@", "`", "") {
        return Some((given, schema.directive_definitions.keys().collect()));
    }
    let (given, _) = names_in("cannot find type `", "`", "").or_else(|| names_in("type condition `", "` of", ""))?;
    Some((given, schema.types.keys().collect()))
}

/// The text after `start` and before `middle`, and the text between `middle` and `end`.
fn between<'m>(message: &'m str, start: &str, middle: &str, end: &str) -> Option<(&'m str, &'m str)> {
    let (_, rest) = message.split_once(start)?;
    let (first, rest) = rest.split_once(middle)?;
    let second = if end.is_empty() { rest } else { rest.split_once(end)?.0 };
    Some((first, second))
}

/// The fields or values of a type.
fn members<'s>(schema: &'s Schema, type_name: &str) -> Option<Vec<&'s Name>> {
    match schema.types.get(type_name)? {
        ExtendedType::Object(object) => Some(object.fields.keys().collect()),
        ExtendedType::Interface(interface) => Some(interface.fields.keys().collect()),
        ExtendedType::InputObject(input) => Some(input.fields.keys().collect()),
        ExtendedType::Enum(values) => Some(values.values.keys().collect()),
        ExtendedType::Scalar(_) | ExtendedType::Union(_) => None,
    }
}

/// The arguments of a field, such as `Query.models`, or of a directive, such as `@skip`.
fn arguments<'s>(schema: &'s Schema, place: &str) -> Option<Vec<&'s Name>> {
    let arguments = match (place.strip_prefix('@'), place.split_once('.')) {
        (Some(directive), _) => &schema.directive_definitions.get(directive)?.arguments,
        (None, Some((type_name, field))) => match schema.types.get(type_name)? {
            ExtendedType::Object(object) => &object.fields.get(field)?.arguments,
            ExtendedType::Interface(interface) => &interface.fields.get(field)?.arguments,
            _ => return None,
        },
        (None, None) => return None,
    };
    Some(arguments.iter().map(|argument| &argument.name).collect())
}
