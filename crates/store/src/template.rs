//! Statements from templates: SQL with placeholders in braces, such as `{layers}`, that are filled at run time.

use sqlx::{Postgres, QueryBuilder};

/// Pushes what belongs in the place of a placeholder: SQL, or a parameter with its value.
pub(super) type Push<'a> = &'a mut dyn FnMut(&mut QueryBuilder<Postgres>, &str);

/// The statement of a template.
pub(super) fn fill(template: &str, push: Push<'_>) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("");
    push_filled(&mut query, template, push);
    query
}

/// Pushes a template as a part of a statement.
pub(super) fn push_filled(query: &mut QueryBuilder<Postgres>, template: &str, push: Push<'_>) {
    // Text and placeholders alternate, because no other braces occur.
    for (index, piece) in template.split(['{', '}']).enumerate() {
        if index % 2 == 0 {
            query.push(piece);
        } else {
            push(query, piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_by_sql_and_parameters() {
        let statement = fill(
            "select {column} from a where b = {b} or c = {b}",
            &mut |query, name| match name {
                "column" => _ = query.push("x"),
                _ => _ = query.push_bind(1),
            },
        );
        assert_eq!(statement.sql().as_str(), "select x from a where b = $1 or c = $2");
    }
}
