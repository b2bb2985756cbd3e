//! What the keys of events can tell of a search, as conditions of a statement.

use crate::central::store::event_row::activity_key;
use crate::central::store::keys::{agent_key, text_key, word_key};
use crate::central::store::query::{Dialect, Query, Value};
use crate::event::Activity;

use super::{Search, Wanted};

impl Search {
    /// Adds what the keys can tell to a query of events. Nothing that matches is left out by it; a few
    /// that do not match may be let in.
    pub(in crate::central::store) fn narrow(&self, dialect: Dialect, query: &mut Query) {
        let keys = |wanted: &Wanted, key: fn(&str) -> i64| {
            let only = wanted.only.as_ref();
            only.map(|only| only.iter().map(|it| key(it).into()).collect::<Vec<Value>>())
        };
        among(query, "e.session", keys(&self.sessions, text_key));
        among(query, "e.session", keys(&self.directories, text_key));
        among(query, "e.agent", keys(&self.agents, agent_key));
        without(
            query,
            "e.agent",
            self.agents.without.iter().map(|it| agent_key(it)),
        );
        self.narrow_kinds(query);
        self.narrow_tools(dialect, query);
        among(query, "e.model", keys(&self.models, word_key));
        if let Some(from) = self.from {
            query.push(" AND e.time >= ").bind(from);
        }
        if let Some(to) = self.to {
            query.push(" AND e.time < ").bind(to);
        }
    }

    fn narrow_tools(&self, dialect: Dialect, query: &mut Query) {
        let tools = self.tools.only.as_ref();
        let tools = tools.map(|only| only.iter().map(|it| it.as_str().into()).collect());
        among(query, "e.tool", tools);
        if let (Some(only @ [_, ..]), Dialect::Postgres) = (self.tools.only.as_deref(), dialect) {
            // What its index has in place of the name: a key of the tool in its environment.
            const SALT: &str = "e.tenant::bigint * 4294967296 + e.environment";
            query.push(&format!(" AND hashtextextended(e.tool, {SALT})"));
            query.push(if only.len() == 1 { " = " } else { " IN (" });
            for (number, tool) in only.iter().enumerate() {
                query.push(if number > 0 { ", " } else { "" });
                query.push("hashtextextended(").bind(tool.as_str());
                query.push(", $1::bigint * 4294967296 + $2::bigint)");
            }
            query.push(if only.len() == 1 { "" } else { ")" });
        }
        without(
            query,
            "e.tool",
            self.tools.without.iter().map(String::as_str),
        );
        if let Some(servers) = &self.servers.only {
            query.push(" AND e.is_mcp = 1 AND (");
            for (index, server) in servers.iter().enumerate() {
                query.push(if index > 0 { " OR " } else { "" });
                query.push("(e.tool >= ").bind(format!("{server}:"));
                query.push(" AND e.tool < ").bind(format!("{server};"));
                query.push(")");
            }
            query.push(")");
        }
    }

    /// Activities stand in the statement as numbers: PostgreSQL has an index of rare ones, and cannot know of
    /// a parameter whether it is one.
    fn narrow_kinds(&self, query: &mut Query) {
        let machine = activity_key(Some(Activity::Machine));
        let excluded = self.kinds.without.iter();
        let activities = excluded.filter_map(|kind| Activity::from_slug(kind));
        without_any(
            query,
            "e.activity",
            activities.map(|it| activity_key(Some(it))),
        );
        self.narrow_to_decisions(query);
        let Some(kinds) = &self.kinds.only else {
            query.push(" AND e.activity <> ").push(&machine.to_string());
            return;
        };
        query.push(" AND (");
        for (index, kind) in kinds.iter().enumerate() {
            query.push(if index > 0 { " OR " } else { "" });
            match Activity::from_slug(kind) {
                Some(activity) => {
                    query
                        .push("e.activity = ")
                        .push(&activity_key(Some(activity)).to_string());
                }
                None => {
                    let activity = activity_key(Some(Activity::of_event(kind)));
                    query.push("(e.activity = ").push(&activity.to_string());
                    query.push(" AND e.name = ").bind(word_key(kind)).push(")");
                }
            }
        }
        query.push(")");
    }

    /// Only two activities carry a decision, only one a prompt.
    fn narrow_to_decisions(&self, query: &mut Query) {
        let mut activities = Vec::new();
        if self.decisions.only.is_some() || self.sources.only.is_some() {
            activities = vec![Activity::PermissionDecision, Activity::ToolInvocation];
        } else if self.has_prompt == Some(true) {
            activities = vec![Activity::UserMessage];
        }
        if !activities.is_empty() {
            let keys = activities.into_iter().map(|it| activity_key(Some(it)));
            query.push(" AND e.activity IN ").bind_list(keys);
        }
    }
}

fn among(query: &mut Query, column: &str, values: Option<Vec<Value>>) {
    match values {
        None => {}
        Some(mut values) if values.len() == 1 => {
            let value = values.remove(0);
            query.push(&format!(" AND {column} = ")).bind(value);
        }
        Some(values) => {
            query.push(&format!(" AND {column} IN ")).bind_list(values);
        }
    }
}

/// Leaves out values of a column that may hold none.
fn without<V: Into<Value>>(query: &mut Query, column: &str, values: impl Iterator<Item = V>) {
    let mut values = values.peekable();
    if values.peek().is_some() {
        query.push(&format!(" AND ({column} IS NULL OR {column} NOT IN "));
        query.bind_list(values).push(")");
    }
}

/// Leaves out values of a column that always holds one.
fn without_any<V: Into<Value>>(query: &mut Query, column: &str, values: impl Iterator<Item = V>) {
    for value in values {
        query.push(&format!(" AND {column} <> ")).bind(value);
    }
}
