//! A list of the inventory: one template for all of them.

use askama::Template;

use super::browse::{SortLink, Tools};
use super::event_row::{Link, Stamp, Tag};
use super::shell::Shell;
use super::text::Text;

/// A page with a table.
#[derive(Template)]
#[template(path = "table.html", config = "src/central/portal/askama.toml")]
pub(super) struct TablePage {
    pub(super) shell: Shell,
    pub(super) title: String,
    /// The list that this page belongs to, when it is about one thing of it.
    pub(super) crumb: Option<(String, &'static str)>,
    pub(super) lead: String,
    pub(super) facts: Vec<Fact>,
    pub(super) remarks: Vec<Tag>,
    pub(super) actions: Vec<(String, &'static str)>,
    pub(super) tables: Vec<Table>,
    pub(super) more: Option<String>,
    /// What narrows the page's list, where it can be narrowed.
    pub(super) tools: Option<Tools>,
    /// What stands below, and is not narrowed.
    pub(super) below: Vec<Table>,
}

/// A fact above the table.
pub(super) struct Fact {
    pub(super) title: &'static str,
    pub(super) value: Cell,
}

/// A table with a heading of its own.
pub(super) struct Table {
    pub(super) heading: Option<&'static str>,
    pub(super) caption: &'static str,
    pub(super) columns: Vec<Head>,
    pub(super) rows: Vec<Row>,
    /// What stands there instead of no row.
    pub(super) empty: &'static str,
}

/// The head of a column.
pub(super) struct Head {
    pub(super) title: &'static str,
    pub(super) is_number: bool,
    /// How the column sorts, where it does.
    pub(super) sort: Option<SortLink>,
}

/// A row; the first cell names it.
pub(super) struct Row {
    /// The group that begins with this row.
    pub(super) group: Option<String>,
    pub(super) cells: Vec<Cell>,
}

/// What a cell holds.
pub(super) enum Cell {
    Link(Link),
    Name(Text),
    Code(Text),
    /// Code, and a sign beside it where there is something to know.
    Marked(Text, Option<Tag>),
    Words(String),
    Stamp(Stamp),
    /// How long ago something was, and a word for that where it means something.
    Ago(Stamp, Option<Tag>),
    Tags(Vec<Tag>),
    Links(Vec<Link>),
    Nothing,
}

impl Head {
    /// Columns by their titles; those that begin with `#` hold numbers.
    pub(super) fn all(titles: &[&'static str]) -> Vec<Head> {
        let head = |title: &&'static str| match title.strip_prefix('#') {
            Some(title) => Head {
                title,
                is_number: true,
                sort: None,
            },
            None => Head {
                title,
                is_number: false,
                sort: None,
            },
        };
        titles.iter().map(head).collect()
    }

    /// The same, each sorting the list where it has such an order.
    pub(super) fn sorted(heads: Vec<Head>, tools: &Tools) -> Vec<Head> {
        let sorted = heads.into_iter().map(|head| Head {
            sort: tools.sorted_by(&slug(head.title)),
            ..head
        });
        sorted.collect()
    }
}

/// A column's name in addresses: its title without what stands in brackets.
fn slug(title: &str) -> String {
    let title = title.split(" (").next().unwrap_or(title);
    title.to_lowercase().replace(' ', "-")
}
