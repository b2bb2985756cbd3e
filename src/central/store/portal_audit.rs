//! What people did in the portal: append-only, and written in the same transaction as the change, or before
//! what it tells of is shown.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Timestamp;

use super::catalog::most_frequent;
use super::cursor::encode_cursor;
use super::events::given;
use super::query::{Query, Value};
use super::{Environment, Page, PageRequest, Scope, Store, StoreError};

/// Something that somebody did, to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub time: Timestamp,
    /// Where; `None` for what is of no environment.
    pub scope: Option<Scope>,
    /// The same by name, for when the environment is gone.
    pub place: String,
    /// Who, by id; `None` for the command line, for keys of the environment, and for strangers.
    pub person: Option<String>,
    /// Who, by name.
    pub name: String,
    /// What: `sign_in`, `reveal`, `role.change`, …
    pub action: &'static str,
    /// On what.
    pub object: String,
    /// What it was before.
    pub was: String,
    /// What it became.
    pub became: String,
    /// Why, in the person's words.
    pub reason: String,
    /// From which address.
    pub address: String,
}

/// Something that somebody did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Audited {
    /// Counts up.
    pub id: i64,
    /// When.
    pub time: Timestamp,
    /// Where: `tenant/environment`; empty for what is of no environment.
    pub place: String,
    /// Who, by id.
    pub person_id: Option<String>,
    /// Who, by name.
    pub person: String,
    /// What.
    pub action: String,
    /// On what.
    pub object: String,
    /// What it was before.
    pub before: String,
    /// What it became.
    pub after: String,
    /// Why.
    pub reason: String,
    /// From which address.
    pub address: String,
}

/// Which entries a list shows. Empty fields do not filter.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AuditFilter {
    /// A person's name, or what stands for it: `command line`, `API key NAME`.
    pub person: Option<String>,
    /// All but this person's.
    #[serde(rename = "-person")]
    pub not_person: Option<String>,
    /// An action, or the part of one before its dot.
    pub action: Option<String>,
    /// All but this action.
    #[serde(rename = "-action")]
    pub not_action: Option<String>,
    /// Text in the object.
    pub object: Option<String>,
    /// Entries at or after this time.
    pub from: Option<Timestamp>,
    /// Entries before this time.
    pub to: Option<Timestamp>,
}

/// How many entries a list has, and by what they can be told apart, the most frequent first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditTally {
    /// Entries.
    pub entry_count: i64,
    /// How many each person has, by name.
    pub people: Vec<(String, i64)>,
    /// How many there are of each action.
    pub actions: Vec<(String, i64)>,
}

/// Longest text of a column that is kept, in characters.
const MAX_TEXT: usize = 2_000;

const COLUMNS: &str =
    "time, of_tenant, of_environment, place, person, name, action, object, was, became, reason,
     address";

impl AuditEntry {
    /// Where it was, with its name.
    pub fn place_of(environment: &Environment) -> String {
        format!("{}/{}", environment.tenant, environment.environment)
    }

    /// The statement that writes it.
    pub(super) fn insert(&self) -> Query {
        self.insert_if(Query::new("1 = 1", []))
    }

    /// The statement that writes it when a condition holds, whose parameters come first.
    pub(super) fn insert_if(&self, condition: Query) -> Query {
        let Query {
            sql,
            values,
            has_list,
        } = condition;
        let mut insert = Query {
            sql: format!("INSERT INTO portal_audit ({COLUMNS}) SELECT "),
            values,
            has_list,
        };
        let text = |text: &str| Value::Text(text.chars().take(MAX_TEXT).collect());
        let numbers: [Value; 3] = [
            self.time.into(),
            self.scope.map(|scope| scope.tenant).into(),
            self.scope.map(|scope| scope.environment).into(),
        ];
        let texts: [Value; 9] = [
            text(&self.place),
            self.person.clone().into(),
            text(&self.name),
            text(self.action),
            text(&self.object),
            text(&self.was),
            text(&self.became),
            text(&self.reason),
            text(&self.address),
        ];
        for (place, number) in numbers.into_iter().enumerate() {
            insert.push(if place == 0 { "CAST(" } else { ", CAST(" });
            insert.values.push(number);
            insert.push(&format!("${} AS bigint)", insert.values.len()));
        }
        for text in texts {
            insert.values.push(text);
            insert.push(&format!(", CAST(${} AS text)", insert.values.len()));
        }
        insert.push(" WHERE ").push(&sql);
        insert
    }
}

impl Store {
    /// Writes entries. When this returns, they are on disk.
    ///
    /// # Errors
    /// [`StoreError`]; then whatever they tell of must not be done.
    pub async fn add_audit(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        let inserts = entries.iter().map(AuditEntry::insert).collect();
        self.write(inserts).await?;
        Ok(())
    }

    /// What was done in an environment, the latest first; of one person when `only` names one. What people
    /// of the environment did that is of no environment, such as signing in, is among it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn audited(
        &self,
        scope: Scope,
        only: Option<&str>,
        filter: &AuditFilter,
        page: PageRequest,
    ) -> Result<Page<Audited>, StoreError> {
        let columns =
            "a.seq, a.time, a.place, a.person, a.name, a.action, a.object, a.was, a.became,
             a.reason, a.address";
        let mut query = entries(columns, scope, only, filter);
        if let Some(seq) = page.after::<i64>()? {
            query.push(" AND a.seq < ").bind(seq);
        }
        query.push(" ORDER BY a.seq DESC LIMIT ");
        query.bind(page.limit_to_read());
        let rows = self.rows(query).await?.into_iter();
        let mut items = rows
            .map(|mut row| {
                Ok(Audited {
                    id: row.take(0)?,
                    time: row.take(1)?,
                    place: row.take(2)?,
                    person_id: row.take(3)?,
                    person: row.take(4)?,
                    action: row.take(5)?,
                    object: row.take(6)?,
                    before: row.take(7)?,
                    after: row.take(8)?,
                    reason: row.take(9)?,
                    address: row.take(10)?,
                })
            })
            .collect::<Result<Vec<Audited>, StoreError>>()?;
        let has_more = items.len() > page.limit();
        items.truncate(page.limit());
        let last = items.last().filter(|_| has_more);
        Ok(Page {
            next_cursor: last.map(|last| encode_cursor(&last.id)),
            items,
        })
    }

    /// Counts what [`Store::audited`] lists.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn audit_tally(
        &self,
        scope: Scope,
        only: Option<&str>,
        filter: &AuditFilter,
    ) -> Result<AuditTally, StoreError> {
        let mut query = entries("a.name, a.action, count(*)", scope, only, filter);
        query.push(" GROUP BY a.name, a.action");
        let mut entry_count = 0;
        let (mut people, mut actions) = (HashMap::new(), HashMap::new());
        for mut row in self.rows(query).await? {
            let (name, action): (String, String) = (row.take(0)?, row.take(1)?);
            let entries: i64 = row.take(2)?;
            entry_count += entries;
            *people.entry(name).or_default() += entries;
            *actions.entry(action).or_default() += entries;
        }
        Ok(AuditTally {
            entry_count,
            people: most_frequent(people),
            actions: most_frequent(actions),
        })
    }
}

/// `SELECT … WHERE …`: the entries that a list shows.
fn entries(columns: &str, scope: Scope, only: Option<&str>, filter: &AuditFilter) -> Query {
    let mut query = Query::scoped(
        format!(
            "SELECT {columns} FROM portal_audit a
             WHERE ((a.of_tenant = $1 AND a.of_environment = $2)
                 OR (a.of_environment IS NULL AND a.person IN (SELECT m.person FROM memberships m
                     WHERE m.tenant = $1 AND m.environment = $2)))"
        ),
        scope,
    );
    if let Some(person) = only {
        query.push(" AND a.person = ").bind(person);
    }
    for (name, not) in [(&filter.person, ""), (&filter.not_person, "NOT ")] {
        if let Some(name) = given(name) {
            // Names of people are in lower case; what stands for others, such as "API key X", is as it is.
            query
                .push(&format!(" AND a.name {not}IN ("))
                .bind(name.as_str());
            query.push(", ").bind(name.to_lowercase()).push(")");
        }
    }
    for (action, not) in [(&filter.action, ""), (&filter.not_action, "NOT ")] {
        if let Some(action) = given(action) {
            query
                .push(&format!(" AND {not}(a.action = "))
                .bind(action.as_str());
            query.push(" OR a.action LIKE ").bind(format!("{action}.%"));
            query.push(")");
        }
    }
    if let Some(object) = given(&filter.object) {
        let pattern = format!("%{}%", escape_like(&object));
        query
            .push(" AND a.object LIKE ")
            .bind(pattern)
            .push(" ESCAPE '!'");
    }
    if let Some(from) = filter.from {
        query.push(" AND a.time >= ").bind(from);
    }
    if let Some(to) = filter.to {
        query.push(" AND a.time < ").bind(to);
    }
    query
}

/// Text that stands for itself in a pattern.
fn escape_like(text: &str) -> String {
    text.replace('!', "!!")
        .replace('%', "!%")
        .replace('_', "!_")
}
