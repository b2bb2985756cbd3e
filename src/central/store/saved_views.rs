//! Names for addresses of lists, kept for one person or shared in an environment.

use schemars::JsonSchema;
use serde::Serialize;

use crate::event::Timestamp;

use super::query::Query;
use super::{AuditEntry, Of, Scope, Store, StoreError};

/// Views that one person may have in an environment, and its keys together.
const MAX_VIEWS: i64 = 200;

/// A view that somebody saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SavedView {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// The list's address below the environment's own: `observability?type=error`.
    pub address: String,
    /// Whether everybody in the environment has it.
    pub is_shared: bool,
    /// Who saved it, by id; `None` for a key of the environment.
    pub person_id: Option<String>,
    /// Who saved it, by name.
    pub saved_by: String,
    /// When.
    pub saved_at: Timestamp,
}

impl Store {
    /// A view that a person has, their own or a shared one.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn saved_view(
        &self,
        scope: Scope,
        person: Option<&str>,
        id: &str,
    ) -> Result<Option<SavedView>, StoreError> {
        let of = Of::Person(person.unwrap_or_default().to_owned());
        let key = vec![id.to_owned()];
        let mut found = self.with_keys(scope, &of, &[key], Timestamp::now()).await?;
        Ok(found.pop())
    }

    /// Keeps a view, with the audit of it; false when the person has as many as there may be.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is kept.
    pub async fn save_view(
        &self,
        scope: Scope,
        view: &SavedView,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut has_room = Query::scoped(
            "(SELECT count(*) FROM saved_views WHERE tenant = $1 AND environment = $2
                 AND coalesce(person, '') = ",
            scope,
        );
        let person = view.person_id.as_deref().unwrap_or_default();
        has_room.bind(person).push(") < ").bind(MAX_VIEWS);
        let audit = entry.insert_if(has_room.clone());
        let condition = has_room.sql.clone();
        let mut insert = Query {
            sql:
                "INSERT INTO saved_views (tenant, environment, id, name, address, saved_by, person,
                      is_shared, saved_at)
                  SELECT CAST($1 AS bigint), CAST($2 AS bigint)"
                    .to_owned(),
            ..has_room
        };
        for text in [&view.id, &view.name, &view.address, &view.saved_by] {
            insert.push(", CAST(").bind(text.as_str()).push(" AS text)");
        }
        insert.push(", CAST(").bind(view.person_id.clone());
        insert.push(" AS text), CAST(");
        insert
            .bind(i64::from(view.is_shared))
            .push(" AS bigint), CAST(");
        insert.bind(view.saved_at).push(" AS bigint) WHERE ");
        insert.push(&condition);
        Ok(self.write(vec![audit, insert]).await?[1] > 0)
    }

    /// Forgets a view, with the audit of it. False when there is none.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is changed.
    pub async fn delete_view(
        &self,
        scope: Scope,
        id: &str,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let with = |before: &str, after: &str| {
            let which = "saved_views WHERE tenant = $1 AND environment = $2 AND id = ";
            let mut query = Query::scoped(format!("{before}{which}"), scope);
            query.bind(id).push(after);
            query
        };
        let audit = entry.insert_if(with("EXISTS (SELECT 1 FROM ", ")"));
        let delete = with("DELETE FROM ", "");
        Ok(self.write(vec![audit, delete]).await?[1] > 0)
    }
}
