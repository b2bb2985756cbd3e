//! Statements that both databases take, and the rows they give.
//!
//! Parameters are numbered, `$1`, `$2`, …, in any order; no text in a statement has a `$` of its own. What
//! differs between the databases is named where it is used, through [`Dialect`].

use crate::event::Timestamp;

use super::{Scope, StoreError};

/// Which database a statement is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

impl Dialect {
    /// The function that gives the least of its arguments.
    pub(super) fn least(self) -> &'static str {
        match self {
            Dialect::Sqlite => "min",
            Dialect::Postgres => "least",
        }
    }

    /// The function that gives the greatest of its arguments.
    pub(super) fn greatest(self) -> &'static str {
        match self {
            Dialect::Sqlite => "max",
            Dialect::Postgres => "greatest",
        }
    }
}

/// A value in a statement or in a row.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(super) enum Value {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int(number)
    }
}

impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Value {
        Value::Int(time.0)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Value {
        Value::Bytes(bytes)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

/// A statement with its values.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
    /// Whether the text has a list, whose length differs from one time to the next: it is not worth keeping
    /// what a database makes of it.
    pub(super) has_list: bool,
}

impl Query {
    /// A statement whose text names its parameters itself.
    pub(super) fn new<const N: usize>(sql: impl Into<String>, values: [Value; N]) -> Query {
        Query {
            sql: sql.into(),
            values: values.into(),
            has_list: false,
        }
    }

    /// The same, with the tenant as `$1` and the environment as `$2`.
    pub(super) fn scoped<S: Into<String>>(sql: S, scope: Scope) -> Query {
        Query::new(sql, [scope.tenant.into(), scope.environment.into()])
    }

    /// More of the statement.
    pub(super) fn push(&mut self, sql: &str) -> &mut Query {
        self.sql.push_str(sql);
        self
    }

    /// A parameter with its value.
    pub(super) fn bind(&mut self, value: impl Into<Value>) -> &mut Query {
        let name = self.name(value);
        self.push(&name)
    }

    /// A parameter with its value, to be named where it is needed, once or more often.
    pub(super) fn name(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// Texts as one parameter, for `IN` and `NOT IN`: any number of them, where each parameter of its own
    /// would be one of 32 766 at most.
    pub(super) fn bind_texts(&mut self, dialect: Dialect, texts: &[String]) -> &mut Query {
        let json = serde_json::to_string(texts).expect("texts are JSON");
        let list = self.name(json);
        self.push(&match dialect {
            Dialect::Sqlite => format!("(SELECT value FROM json_each({list}))"),
            Dialect::Postgres => {
                format!("(SELECT jsonb_array_elements_text(CAST({list} AS text)::jsonb))")
            }
        })
    }

    /// The same of rows with as many texts each, for `(a, b) IN`.
    pub(super) fn bind_keys(&mut self, dialect: Dialect, keys: &[Vec<String>]) -> &mut Query {
        let json = serde_json::to_string(keys).expect("texts are JSON");
        let list = self.name(json);
        let columns = 0..keys.first().map_or(1, Vec::len);
        let columns: Vec<String> = columns.map(|place| format!("value ->> {place}")).collect();
        let columns = columns.join(", ");
        self.push(&match dialect {
            Dialect::Sqlite => format!("(SELECT {columns} FROM json_each({list}))"),
            Dialect::Postgres => {
                format!("(SELECT {columns} FROM jsonb_array_elements(CAST({list} AS text)::jsonb))")
            }
        })
    }

    /// A parenthesized list of parameters, for `IN`. An empty list holds nothing.
    pub(super) fn bind_list<V: Into<Value>>(
        &mut self,
        values: impl IntoIterator<Item = V>,
    ) -> &mut Query {
        self.has_list = true;
        self.push("(");
        let mut is_empty = true;
        for value in values {
            if !is_empty {
                self.push(", ");
            }
            is_empty = false;
            self.bind(value);
        }
        if is_empty {
            self.push("NULL");
        }
        self.push(")")
    }
}

/// A row that a query gave.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row(pub(super) Vec<Value>);

impl Row {
    /// The value of a column, counted from 0; each can be taken once.
    ///
    /// # Errors
    /// When it is of another type: the database was changed by somebody else.
    pub(super) fn take<T: Column>(&mut self, column: usize) -> Result<T, StoreError> {
        let value = self
            .0
            .get_mut(column)
            .map(|value| std::mem::replace(value, Value::Null));
        value.and_then(T::of).ok_or_else(|| {
            StoreError::Unavailable(format!("column {column} of a row is of an unexpected type"))
        })
    }
}

/// What a column can be read as.
pub(super) trait Column: Sized {
    /// The value, if it is one of this type.
    fn of(value: Value) -> Option<Self>;
}

impl Column for i64 {
    fn of(value: Value) -> Option<i64> {
        match value {
            Value::Int(number) => Some(number),
            _ => None,
        }
    }
}

impl Column for f64 {
    fn of(value: Value) -> Option<f64> {
        match value {
            Value::Real(number) => Some(number),
            Value::Int(number) => Some(number as f64),
            _ => None,
        }
    }
}

impl Column for Timestamp {
    fn of(value: Value) -> Option<Timestamp> {
        i64::of(value).map(Timestamp)
    }
}

impl Column for String {
    fn of(value: Value) -> Option<String> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Column for Vec<u8> {
    fn of(value: Value) -> Option<Vec<u8>> {
        match value {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl<T: Column> Column for Option<T> {
    fn of(value: Value) -> Option<Option<T>> {
        match value {
            Value::Null => Some(None),
            value => T::of(value).map(Some),
        }
    }
}
