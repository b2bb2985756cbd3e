//! The form that lays a list out: columns, their order, the height of rows and whether text wraps. What it sends
//! becomes part of the list's address, or the person's preference.

use axum::Form;
use axum::extract::Query;
use axum::http::{Uri, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};

use crate::central::portal::address::with_query;
use crate::central::portal::failure::Failure;
use crate::central::portal::filters::Filters;
use crate::central::portal::layout::{Column, Columns, Layout, Rows, chosen_or, slugs};
use crate::central::portal::preferences::{self, Preferences};

/// The form, as a list shows it.
pub(in crate::central::portal) struct LayoutForm {
    /// The list's address, as it is.
    pub(in crate::central::portal) address: String,
    /// Which columns it has: the parameter that names them.
    pub(in crate::central::portal) of: &'static str,
    /// The columns that it has when its address says nothing.
    pub(in crate::central::portal) usual: String,
    pub(in crate::central::portal) choices: Vec<ColumnChoice>,
    pub(in crate::central::portal) height: &'static str,
    pub(in crate::central::portal) wraps: bool,
    /// Whether it can become the person's preference: where it is not one agent's list.
    pub(in crate::central::portal) is_keepable: bool,
    /// Whether anything is not as usual.
    pub(in crate::central::portal) is_changed: bool,
}

/// A column that can be chosen.
pub(in crate::central::portal) struct ColumnChoice {
    pub(in crate::central::portal) column: &'static Column,
    pub(in crate::central::portal) is_shown: bool,
    pub(in crate::central::portal) can_rise: bool,
    pub(in crate::central::portal) can_sink: bool,
}

/// The columns of a list, in order.
pub(in crate::central::portal) fn of(layout: &Layout, rows: Rows, of_one_agent: bool) -> Columns {
    match layout.of(rows).as_slice() {
        [] => preferred(rows, of_one_agent),
        chosen => chosen.to_vec(),
    }
}

/// The same where the address says nothing.
fn preferred(rows: Rows, of_one_agent: bool) -> Columns {
    let mut columns = Preferences::current().layout.of(rows).clone();
    columns.retain(|column| !(of_one_agent && column.slug == "agent"));
    match columns.is_empty() {
        true => rows.usual(of_one_agent),
        false => columns,
    }
}

/// The classes that make a table look so.
pub(in crate::central::portal) fn looks(layout: &Layout) -> String {
    let layout = layout.or(&Preferences::current().layout);
    let height = match layout.height {
        "s" => " small",
        "l" => " large",
        _ => "",
    };
    let wraps = if layout.wrap == "1" { " wraps" } else { "" };
    format!("{height}{wraps}")
}

impl LayoutForm {
    pub(super) fn new(filters: &Filters, path: &str, rows: Rows, of_one_agent: bool) -> LayoutForm {
        let shown = of(&filters.layout, rows, of_one_agent);
        let layout = filters.layout.or(&Preferences::current().layout);
        let last = shown.len().saturating_sub(1);
        let chosen = shown
            .iter()
            .enumerate()
            .map(|(place, column)| ColumnChoice {
                column,
                is_shown: true,
                can_rise: place > 0,
                can_sink: place < last,
            });
        let others = rows.columns().iter().filter(|it| !shown.contains(it));
        let others = others.map(|column| ColumnChoice {
            column,
            is_shown: false,
            can_rise: false,
            can_sink: false,
        });
        LayoutForm {
            address: filters.address(path),
            of: rows.key(),
            usual: slugs(&preferred(rows, of_one_agent)),
            choices: chosen.chain(others).collect(),
            height: layout.height,
            wraps: layout.wrap == "1",
            is_keepable: !of_one_agent,
            is_changed: shown != rows.usual(of_one_agent)
                || !matches!(layout.height, "" | "m")
                || layout.wrap == "1",
        }
    }
}

/// What the form sends.
#[derive(Default)]
struct Wish {
    address: String,
    of: String,
    usual: String,
    columns: Vec<String>,
    height: String,
    wrap: String,
    /// The button that was pressed, and the column that it moves.
    button: (String, String),
}

impl Wish {
    fn read(pairs: Vec<(String, String)>) -> Wish {
        let mut wish = Wish::default();
        for (key, value) in pairs {
            match key.as_str() {
                "address" => wish.address = value,
                "of" => wish.of = value,
                "usual" => wish.usual = value,
                "column" => wish.columns.push(value),
                "rows" => wish.height = value,
                "wrap" => wish.wrap = value,
                "up" | "down" | "keep" | "reset" => wish.button = (key, value),
                _ => {}
            }
        }
        wish
    }
}

/// Someone lays a list out: where they are, or wherever its address says nothing.
pub(in crate::central::portal) async fn choose(
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    let wish = Wish::read(pairs);
    let unreadable = |_| Failure::BadRequest("There is no such column, or no such height.");
    let rows = match wish.of == Rows::Sessions.key() {
        true => Rows::Sessions,
        false => Rows::Events,
    };
    let names = wish.columns.iter().map(String::as_str);
    let columns = moved(rows.named(names).map_err(unreadable)?, &wish.button);
    let mut chosen = Layout::default().with(rows, columns);
    let wrap = if wish.wrap.is_empty() { "0" } else { "1" };
    for (key, value) in [("rows", wish.height.as_str()), ("wrap", wrap)] {
        chosen.read(key, value).map_err(unreadable)?;
    }
    let (path, others, said) = taken_apart(&wish.address)?;
    let kept = Preferences::current().layout;
    let (kept, said, place) = match wish.button.0.as_str() {
        "keep" => {
            let usual = Layout::default().with(rows, rows.usual(false));
            let kept = without_usual(&chosen, &usual, rows).or(&cleared(&kept, rows));
            (Some(kept), cleared(&said, rows), String::new())
        }
        "reset" => (
            Some(cleared(&kept, rows)),
            cleared(&said, rows),
            String::new(),
        ),
        _ => {
            let named = wish.usual.split('.');
            let usual = kept.with(rows, rows.named(named).map_err(unreadable)?);
            let said = without_usual(&chosen, &usual, rows).or(&cleared(&said, rows));
            let place = match wish.button.1.as_str() {
                "" => String::new(),
                slug => format!("#column-{slug}"),
            };
            (None, said, place)
        }
    };
    let pairs = said.pairs().map(|(key, value)| (key.to_owned(), value));
    let pairs: Vec<(String, String)> = others.into_iter().chain(pairs).collect();
    let to = Redirect::to(&format!("{}{place}", with_query(&path, &pairs)));
    let cookie = kept.map(|kept| (header::SET_COOKIE, preferences::layout_cookie(&kept)));
    Ok((AppendHeaders(cookie), to).into_response())
}

/// The columns after the button that moves one was pressed.
fn moved(mut columns: Columns, (button, slug): &(String, String)) -> Columns {
    let place = columns.iter().position(|column| column.slug == slug);
    match (button.as_str(), place) {
        ("up", Some(place)) if place > 0 => columns.swap(place, place - 1),
        ("down", Some(place)) if place + 1 < columns.len() => columns.swap(place, place + 1),
        _ => {}
    }
    columns
}

/// An address of ours: its path, its filters, and what it says of the layout.
type Parts = (String, Vec<(String, String)>, Layout);

fn taken_apart(address: &str) -> Result<Parts, Failure> {
    let unreadable = || Failure::BadRequest("The list's address cannot be read.");
    let own = preferences::own_page(address).ok_or_else(unreadable)?;
    let uri: Uri = own.parse().map_err(|_| unreadable())?;
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(&uri);
    let Query(pairs) = pairs.map_err(|_| unreadable())?;
    let mut said = Layout::default();
    let mut others = Vec::new();
    for (key, value) in pairs {
        match Layout::KEYS.contains(&key.as_str()) {
            // What it says that nobody knows is left out: the form says all of it anew.
            true => said.read(&key, &value).unwrap_or_default(),
            false => others.push((key, value)),
        }
    }
    Ok((uri.path().to_owned(), others, said))
}

/// A choice without what holds anyway.
fn without_usual(chosen: &Layout, usual: &Layout, rows: Rows) -> Layout {
    let columns = match chosen.of(rows) == usual.of(rows) {
        true => Columns::new(),
        false => chosen.of(rows).clone(),
    };
    let unless = |value: &'static str, usual: &'static str| match value == usual {
        true => "",
        false => value,
    };
    Layout {
        height: unless(chosen_or(chosen.height, "m"), chosen_or(usual.height, "m")),
        wrap: unless(chosen_or(chosen.wrap, "0"), chosen_or(usual.wrap, "0")),
        ..Layout::default().with(rows, columns)
    }
}

/// A layout that says of one list nothing.
fn cleared(layout: &Layout, rows: Rows) -> Layout {
    Layout {
        height: "",
        wrap: "",
        ..layout.with(rows, Columns::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(address: &str) -> (String, usize, String) {
        let (path, others, said) = taken_apart(address).expect("it can be read");
        (path, others.len(), said.kept())
    }

    #[test]
    fn an_address_is_taken_apart() {
        assert_eq!(
            parts("/t/a/b/observability?q=tool%3ABash&columns=detail.color&rows=l&range=24h"),
            ("/t/a/b/observability".to_owned(), 2, "rows=l".to_owned())
        );
        for foreign in ["//elsewhere", "https://elsewhere/", "", "/\\elsewhere"] {
            assert!(taken_apart(foreign).is_err(), "{foreign}");
        }
    }

    #[test]
    fn a_column_moves_by_one_place_and_not_beyond_the_ends() {
        let columns = || {
            Rows::Events
                .named(["agent", "detail", "cost"])
                .expect("known")
        };
        let after = |button: &str, slug: &str| {
            slugs(&moved(columns(), &(button.to_owned(), slug.to_owned())))
        };
        assert_eq!(after("up", "detail"), "detail.agent.cost");
        assert_eq!(after("down", "detail"), "agent.cost.detail");
        for (button, slug) in [("up", "agent"), ("down", "cost"), ("up", "tool"), ("", "")] {
            assert_eq!(after(button, slug), "agent.detail.cost");
        }
    }
}
