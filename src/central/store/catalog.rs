//! Lists of the inventory that the database narrows, sorts, counts and pages.
//!
//! What a list can be narrowed by and sorted by stands in its [`Catalog`] and nowhere else: pages, exports, the
//! API and its document read it from there. A page of a list is read in two steps: the keys of its rows, in
//! order and after the cursor; then the rows with these keys. So what costs something to find out of a row is
//! found out of the rows that are shown.

use std::pin::Pin;

use serde::{Deserialize, Serialize};

use crate::event::Timestamp;

use super::inventory::like;
use super::query::{Query, Row};
use super::{Page, PageRequest, Scope, Store, StoreError};

mod agents;
mod owners;
mod machines;
mod entities;
mod users;
mod versions;
mod views;
mod tokens;
mod people;
mod keys;
mod tally;

pub use agents::{Activeness, Agent, Completeness};
pub use entities::{Entity, EntityKind};
pub use owners::Owner;
pub use tally::Tally;
pub(super) use tally::most_frequent;
pub use users::EntityUser;
pub use versions::ClientVersion;

/// Rows that are read at once where all are.
const MAX_ROWS: u32 = 1_000;

/// What a list holds, and by what it is told apart.
pub struct Catalog<T> {
    /// What rows can be narrowed by.
    pub facets: &'static [Facet],
    /// What the text of [`Criteria`] is looked for in, in words.
    pub searches: &'static str,
    /// The names that say in an address what the list is of.
    pub of: &'static [&'static str],
    /// What rows can be sorted by: the name, and what holds the values, which are never null.
    columns: &'static [(&'static str, &'static str)],
    /// The order unless another is asked for.
    order: &'static str,
    /// What holds the texts that are looked through.
    texts: &'static [&'static str],
    /// What tells a row from all others.
    key: &'static [&'static str],
    rows: Rows<T>,
    /// `(SELECT …) l`: all rows.
    source: fn(&mut Query, &Of, Timestamp),
    key_of: fn(&T) -> Vec<&str>,
}

/// What rows of a list have values of.
pub struct Facet {
    /// Its name in addresses and in the API.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// What it says of a row.
    pub about: &'static str,
    /// The values that there are; empty where it can be any text.
    pub one_of: &'static [&'static str],
    values: Values,
}

/// How rows have values.
enum Values {
    /// One each, or none where it is null.
    One(&'static str),
    /// Any number, in the rows of a table `v`.
    Many {
        table: &'static str,
        /// Which of them belong to a row `l`.
        belong: &'static str,
        value: &'static str,
    },
    /// Those of [`Facet::one_of`] of which this, in the same order, is so.
    Each(&'static [&'static str]),
}

/// How the rows with some keys are read.
enum Rows<T> {
    /// Of the source: what is selected of it, and what reads that.
    Selected(&'static str, fn(Row) -> Result<T, StoreError>),
    /// From several tables, in any order.
    Whole(ReadWhole<T>),
}

/// Reads what has these keys, as it is at a time.
type ReadWhole<T> =
    for<'a> fn(
        &'a Store,
        Scope,
        &'a [Vec<String>],
        Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<T>, StoreError>> + Send + 'a>>;

/// A list that has a catalog.
pub trait Cataloged: Sized + Send + 'static {
    /// The catalog.
    const CATALOG: Catalog<Self>;
}

/// What a list is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Of {
    /// Everything in the environment.
    #[default]
    Environment,
    /// What belongs to the agent with this id.
    Agent(String),
    /// What belongs to the entity of this kind and name.
    Entity(EntityKind, String),
    /// What the person with this id has.
    Person(String),
}

/// A value that rows must have, or must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The name of a facet.
    pub facet: &'static str,
    /// The value.
    pub value: String,
    /// Whether rows must not have it.
    pub is_excluded: bool,
}

/// Which rows of a list are asked for, and in which order.
#[derive(Clone, Debug, Default)]
pub struct Criteria {
    /// What the list is of.
    pub of: Of,
    /// A part of one of the row's texts, in capitals or not.
    pub text: String,
    /// Each must hold.
    pub picks: Vec<Pick>,
    /// A column of the catalog, with a `-` before it the greatest first; empty for the list's own order.
    pub sort: String,
}

/// What a row is sorted by, for the cursor.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Key {
    Number(i64),
    Text(String),
}

/// An order: its name, what holds the values, and whether the greatest come first.
struct Order<'a> {
    name: &'a str,
    column: &'static str,
    is_descending: bool,
}

impl<T> Catalog<T> {
    /// The names of the columns that rows can be sorted by.
    pub fn columns(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().map(|(name, _)| *name)
    }

    /// The facet with this name.
    pub fn facet(&self, name: &str) -> Option<&Facet> {
        self.facets.iter().find(|facet| facet.name == name)
    }

    fn order<'a>(&self, sort: &'a str) -> Result<Order<'a>, StoreError> {
        let name = if sort.is_empty() { self.order } else { sort };
        let (wanted, is_descending) = match name.strip_prefix('-') {
            Some(column) => (column, true),
            None => (name, false),
        };
        let found = self.columns.iter().find(|(name, _)| *name == wanted);
        let (_, column) = found.ok_or_else(|| {
            let columns: Vec<&str> = self.columns().collect();
            StoreError::BadQuery(format!(
                "sort can be one of {}, or - and one of them",
                columns.join(", ")
            ))
        })?;
        Ok(Order {
            name: sort,
            column,
            is_descending,
        })
    }

    /// `(SELECT …) l WHERE …`, without the rows that the criteria do not leave.
    pub(super) fn push(
        &self,
        query: &mut Query,
        criteria: &Criteria,
        now: Timestamp,
        joined: &str,
    ) -> Result<(), StoreError> {
        (self.source)(query, &criteria.of, now);
        query.push(joined).push(" WHERE true");
        let text = criteria.text.trim().to_lowercase();
        if !text.is_empty() {
            let pattern = query.name(like(&text));
            let texts = self.texts.iter();
            let found: Vec<String> = texts
                .map(|of| format!("lower({of}) LIKE {pattern} ESCAPE '!'"))
                .collect();
            query.push(&format!(" AND ({})", found.join(" OR ")));
        }
        for pick in &criteria.picks {
            let facet = self.facet(pick.facet).ok_or_else(|| {
                StoreError::BadQuery(format!("there is no filter {}", pick.facet))
            })?;
            facet.push(query, pick)?;
        }
        Ok(())
    }
}

impl Facet {
    /// Leaves only rows with the value, or those without it.
    fn push(&self, query: &mut Query, pick: &Pick) -> Result<(), StoreError> {
        let place = self.one_of.iter().position(|one| *one == pick.value);
        if !self.one_of.is_empty() && place.is_none() {
            return Err(StoreError::BadQuery(format!(
                "{} can be one of: {}",
                self.name,
                self.one_of.join(", ")
            )));
        }
        let mut value = || query.name(pick.value.as_str());
        let not = if pick.is_excluded { "NOT " } else { "" };
        let condition = match (&self.values, pick.is_excluded) {
            (Values::One(of), false) => format!("{of} = {}", value()),
            (Values::One(of), true) => format!("({of} IS NULL OR {of} <> {})", value()),
            (
                Values::Many {
                    table,
                    belong,
                    value: of,
                },
                _,
            ) => format!(
                "{not}EXISTS (SELECT 1 FROM {table} v WHERE {belong} AND {of} = {})",
                value()
            ),
            (Values::Each(conditions), _) => {
                let condition = place.and_then(|place| conditions.get(place));
                format!("{not}({})", condition.unwrap_or(&"false"))
            }
        };
        query.push(" AND ").push(&condition);
        Ok(())
    }
}

impl Store {
    /// A page of a list as it is at `now`.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::BadQuery`] when the catalog has no such filter or order.
    pub async fn list<T: Cataloged>(
        &self,
        scope: Scope,
        criteria: &Criteria,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Page<T>, StoreError> {
        let catalog = const { &T::CATALOG };
        let order = catalog.order(&criteria.sort)?;
        let key = catalog.key.join(", ");
        let mut query = Query::scoped(format!("SELECT {}, {key} FROM ", order.column), scope);
        catalog.push(&mut query, criteria, now, "")?;
        if let Some((sort, at, after)) = page.after::<(String, Key, Vec<String>)>()? {
            if sort != order.name || after.len() != catalog.key.len() {
                return Err(StoreError::BadCursor);
            }
            push_after(&mut query, &order, at, &key, after);
        }
        let way = if order.is_descending { "DESC" } else { "ASC" };
        query.push(&format!(" ORDER BY {} {way}, {key} LIMIT ", order.column));
        query.bind(page.limit_to_read());
        let mut keys: Vec<(Key, Vec<String>)> = Vec::new();
        for mut row in self.derived_rows(query).await? {
            let at = row.key(0)?;
            let key = (1..=catalog.key.len()).map(|column| row.take(column));
            keys.push((at, key.collect::<Result<_, _>>()?));
        }
        let listed = page.page(keys, |(at, key)| {
            (order.name.to_owned(), at.clone(), key.clone())
        });
        let keys: Vec<Vec<String>> = listed.items.into_iter().map(|(_, key)| key).collect();
        Ok(Page {
            items: self.with_keys(scope, &criteria.of, &keys, now).await?,
            next_cursor: listed.next_cursor,
        })
    }

    /// All of a list as it is at this moment, for lists that are short.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn all<T: Cataloged>(&self, scope: Scope, of: Of) -> Result<Vec<T>, StoreError> {
        let now = Timestamp::now();
        let criteria = Criteria {
            of,
            ..Criteria::default()
        };
        let (mut rows, mut cursor) = (Vec::new(), None);
        loop {
            let page = PageRequest::new(cursor, Some(MAX_ROWS));
            let page = self.list(scope, &criteria, now, page).await?;
            rows.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(rows);
            }
        }
    }

    /// The rows with these keys, in their order; those that are gone are left out.
    pub(super) async fn with_keys<T: Cataloged>(
        &self,
        scope: Scope,
        of: &Of,
        keys: &[Vec<String>],
        now: Timestamp,
    ) -> Result<Vec<T>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let catalog = const { &T::CATALOG };
        let mut rows = match &catalog.rows {
            Rows::Selected(columns, read) => {
                let mut query = Query::scoped(format!("SELECT {columns} FROM "), scope);
                (catalog.source)(&mut query, of, now);
                query.push(&format!(" WHERE ({}) IN ", catalog.key.join(", ")));
                query.bind_keys(self.dialect(), keys);
                let rows = self.derived_rows(query).await?.into_iter();
                rows.map(read).collect::<Result<Vec<T>, _>>()?
            }
            Rows::Whole(read) => read(self, scope, keys, now).await?,
        };
        let place = |row: &T| {
            let key = (catalog.key_of)(row);
            keys.iter().position(|of| *of == key)
        };
        rows.sort_by_cached_key(place);
        Ok(rows)
    }
}

/// Leaves what comes after a row: of the rows that are sorted the same, those with greater keys.
fn push_after(query: &mut Query, order: &Order<'_>, at: Key, key: &str, after: Vec<String>) {
    let at = match at {
        Key::Number(number) => query.name(number),
        Key::Text(text) => query.name(text),
    };
    let (column, beyond) = (order.column, if order.is_descending { "<" } else { ">" });
    query.push(&format!(
        " AND {column} {beyond}= {at} AND ({column} {beyond} {at} OR ({key}) > "
    ));
    query.bind_list(after).push(")");
    // The text is the same for every page.
    query.has_list = false;
}

impl Row {
    /// A sort key, a number or a text.
    fn key(&mut self, column: usize) -> Result<Key, StoreError> {
        let number: Result<i64, _> = self.clone().take(column);
        match number {
            Ok(number) => Ok(Key::Number(number)),
            Err(_) => self.take(column).map(Key::Text),
        }
    }
}
