//! Values to and from SQLite.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{ParamsFromIter, ToSql};

use crate::central::store::query::{Row, Value};

/// A statement's values, bound by their numbers.
pub(super) fn parameters(values: &[Value]) -> ParamsFromIter<std::slice::Iter<'_, Value>> {
    rusqlite::params_from_iter(values.iter())
}

/// A row with so many columns.
pub(super) fn row(row: &rusqlite::Row<'_>, columns: usize) -> rusqlite::Result<Row> {
    (0..columns)
        .map(|column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Int(number),
                ValueRef::Real(number) => Value::Real(number),
                ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
            })
        })
        .collect::<rusqlite::Result<_>>()
        .map(Row)
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(number) => ValueRef::Integer(*number),
            Value::Real(number) => ValueRef::Real(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
