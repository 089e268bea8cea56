//! Lists in an order that the caller chooses, page by page. They are ordered by a value, and by the key where values are equal.
//! Rows without a value come last in either direction.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgExecutor, Postgres, QueryBuilder, Row as _};

use super::StoreError;
use scv_domain::page::{Order, Page, Slice};

/// A position in an ordered list: the value that the list is ordered by, and the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position<F> {
    order: Order<F>,
    /// `None` if the key alone gives the order, and for a row without a value.
    value: Option<SortValue>,
    id: i64,
}

/// A field that a list can be ordered by.
pub trait SortField: Copy + PartialEq {
    /// The column of the key.
    const KEY: &'static str;

    /// What the list is ordered by; `None` if the key alone gives the order.
    fn expression(self) -> Option<SortExpression>;

    /// Whether every row has a value. Only then can an index give the order in both directions.
    fn has_every_row(self) -> bool {
        false
    }
}

/// An SQL expression by the type of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortExpression {
    /// A text.
    Text(&'static str),
    /// A time.
    Time(&'static str),
    /// A `bigint`.
    Integer(&'static str),
    /// A `double precision`.
    Number(&'static str),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum SortValue {
    Text(String),
    Time(DateTime<Utc>),
    Integer(i64),
    Number(f64),
}

impl<F: SortField> Position<F> {
    /// Whether it is a position in a list of this order.
    pub fn fits(&self, order: Order<F>) -> bool {
        let has_type = match (order.field.expression(), &self.value) {
            (None, value) => value.is_none(),
            (Some(_), None) => true,
            (Some(expression), Some(value)) => expression.has_type_of(value),
        };
        self.order == order && has_type
    }
}

impl SortExpression {
    fn sql(self) -> &'static str {
        match self {
            Self::Text(sql) | Self::Time(sql) | Self::Integer(sql) | Self::Number(sql) => sql,
        }
    }

    fn has_type_of(self, value: &SortValue) -> bool {
        matches!(
            (self, value),
            (Self::Text(_), SortValue::Text(_))
                | (Self::Time(_), SortValue::Time(_))
                | (Self::Integer(_), SortValue::Integer(_))
                | (Self::Number(_), SortValue::Number(_))
        )
    }

    fn read(self, row: &PgRow) -> sqlx::Result<Option<SortValue>> {
        Ok(match self {
            Self::Text(_) => row.try_get::<Option<_>, _>(COLUMN)?.map(SortValue::Text),
            Self::Time(_) => row.try_get::<Option<_>, _>(COLUMN)?.map(SortValue::Time),
            Self::Integer(_) => row.try_get::<Option<_>, _>(COLUMN)?.map(SortValue::Integer),
            Self::Number(_) => row.try_get::<Option<_>, _>(COLUMN)?.map(SortValue::Number),
        })
    }
}

/// The name of the column with the value.
const COLUMN: &str = "sort_value";

/// A page of an ordered list.
pub(super) struct Listing<'a, F> {
    pub(super) order: Order<F>,
    pub(super) page: &'a Page<Position<F>>,
}

impl<F: SortField> Listing<'_, F> {
    /// Begins a statement that reads columns of some tables. Its filter follows.
    pub(super) fn select(&self, columns: &str, tables: &str) -> QueryBuilder<Postgres> {
        let mut query = QueryBuilder::new("select ");
        query.push(columns);
        if let Some(expression) = self.order.field.expression() {
            query.push(", ").push(expression.sql()).push(" as ").push(COLUMN);
        }
        query.push(" from ").push(tables).push(" where ");
        query
    }

    /// Ends a statement with the bounds of the page and the order, and runs it.
    pub(super) async fn fetch<R, T>(
        &self,
        mut query: QueryBuilder<Postgres>,
        database: impl PgExecutor<'_>,
    ) -> Result<Slice<(T, Position<F>)>, StoreError>
    where
        R: for<'r> FromRow<'r, PgRow>,
        T: TryFrom<R, Error = StoreError>,
    {
        for (position, is_after) in [(&self.page.after, true), (&self.page.before, false)] {
            if let Some(position) = position {
                self.push_bound(&mut query, position, is_after);
            }
        }
        self.push_order(&mut query);
        query.push(" limit ").push_bind(self.page.limit as i64 + 1);
        let rows = query.build().fetch_all(database).await?;
        let entries = rows.iter().map(|row| {
            let expression = self.order.field.expression();
            let position = Position {
                order: self.order,
                value: expression.map_or(Ok(None), |expression| expression.read(row))?,
                id: row.try_get(F::KEY)?,
            };
            Ok((T::try_from(R::from_row(row)?)?, position))
        });
        Ok(Slice::from_rows(entries.collect::<Result<_, StoreError>>()?, self.page))
    }

    /// `after` means later in list order, whichever way the rows are read.
    fn push_bound(&self, query: &mut QueryBuilder<Postgres>, position: &Position<F>, is_after: bool) {
        let comparison = if is_after == self.order.descending {
            " < "
        } else {
            " > "
        };
        let Some(expression) = self.order.field.expression() else {
            query.push(" and ").push(F::KEY).push(comparison).push_bind(position.id);
            return;
        };
        let sql = expression.sql();
        let Some(value) = &position.value else {
            let side = if is_after { " is null and " } else { " is not null or " };
            query.push(" and (").push(sql).push(side).push(F::KEY).push(comparison);
            query.push_bind(position.id).push(")");
            return;
        };
        query.push(" and ((").push(sql).push(", ").push(F::KEY).push(")");
        query.push(comparison).push("(");
        match value {
            SortValue::Text(text) => query.push_bind(text.clone()),
            SortValue::Time(time) => query.push_bind(*time),
            SortValue::Integer(integer) => query.push_bind(*integer),
            SortValue::Number(number) => query.push_bind(*number),
        };
        query.push(", ").push_bind(position.id).push(")");
        if is_after && !self.order.field.has_every_row() {
            query.push(" or ").push(sql).push(" is null");
        }
        query.push(")");
    }

    fn push_order(&self, query: &mut QueryBuilder<Postgres>) {
        let is_from_end = self.page.from_end;
        let direction = if self.order.descending == is_from_end {
            " asc"
        } else {
            " desc"
        };
        query.push(" order by ");
        if let Some(expression) = self.order.field.expression() {
            query.push(expression.sql()).push(direction);
            if !self.order.field.has_every_row() {
                query.push(if is_from_end { " nulls first" } else { " nulls last" });
            }
            query.push(", ");
        }
        query.push(F::KEY).push(direction);
    }
}
