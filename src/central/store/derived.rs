//! The derived tables: which columns each has, and how a row that is there and a row that is added become
//! one. Both databases' upserts, `rebuild` and `verify` follow from this page.

mod tables;
mod rows;

use std::fmt::Write;

use super::query::Dialect;

pub(super) use rows::{rows, run_rows, token_rows, used_by_rows};
pub(super) use tables::{MACHINE_LOSSES, MACHINE_RANGES, MACHINE_STANDING, TABLES, TOKEN_USE};

use Merge::{Added, Fixed, Greatest, GreatestOf, Key, Least, LeastOf, Sum};

/// A derived table. Tenant and environment stand before its columns and lead its key.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [Column],
}

/// A column of a derived table.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) is_text: bool,
    merge: Merge,
}

/// How two rows of one key become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Merge {
    /// The column belongs to the key.
    Key,
    /// It follows from the key.
    Fixed,
    Least,
    Greatest,
    Sum,
    /// As the added row says: it was counted anew.
    Added,
    /// These columns, of which this is one, come from the row where they are greatest, taken together.
    GreatestOf(&'static [&'static str]),
    /// The same where they are least.
    LeastOf(&'static [&'static str]),
}

/// A derived table with contiguous runs of numbers, `first` to `last`, which unite where they touch.
#[derive(Debug)]
pub(super) struct RunTable {
    pub(super) name: &'static str,
    /// Its key besides tenant and environment, all text.
    pub(super) key: &'static [&'static str],
}

impl Table {
    /// `INSERT INTO … (…)`, up to the rows.
    pub(super) fn insert(&self) -> String {
        format!(
            "INSERT INTO {} (tenant, environment, {})",
            self.name,
            self.names()
        )
    }

    /// The names of its columns, with commas between.
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        names.join(", ")
    }

    /// What follows the rows: how those merge that are there already.
    pub(super) fn on_conflict(&self, dialect: Dialect) -> String {
        let is_key = |column: &&Column| column.merge == Key;
        let key: Vec<&str> = self
            .columns
            .iter()
            .filter(is_key)
            .map(|it| it.name)
            .collect();
        let changes: Vec<String> = self
            .columns
            .iter()
            .filter_map(|column| self.change(column, dialect))
            .collect();
        let mut sql = format!(" ON CONFLICT (tenant, environment, {}) DO ", key.join(", "));
        match changes.is_empty() {
            true => sql.push_str("NOTHING"),
            false => {
                write!(sql, "UPDATE SET {}", changes.join(", ")).expect("a string grows as needed");
            }
        }
        sql
    }

    fn change(&self, column: &Column, dialect: Dialect) -> Option<String> {
        let (table, name) = (self.name, column.name);
        let (least, greatest) = (dialect.least(), dialect.greatest());
        let best = |order: &str, names: &[&str]| {
            let all = |of: &str| {
                let names: Vec<String> = names.iter().map(|name| format!("{of}.{name}")).collect();
                names.join(", ")
            };
            format!(
                "CASE WHEN ({}) {order} ({}) THEN excluded.{name} ELSE {table}.{name} END",
                all("excluded"),
                all(table),
            )
        };
        let value = match column.merge {
            Key | Fixed => return None,
            Least => format!("{least}({table}.{name}, excluded.{name})"),
            Greatest => format!("{greatest}({table}.{name}, excluded.{name})"),
            // A sum that is full stays at its greatest: one that fails would stop all others. What is added is
            // never negative.
            Sum => format!(
                "{least}({table}.{name}, {} - excluded.{name}) + excluded.{name}",
                i64::MAX
            ),
            Added => format!("excluded.{name}"),
            GreatestOf(names) => best(">", names),
            LeastOf(names) => best("<", names),
        };
        Some(format!("{name} = {value}"))
    }
}
