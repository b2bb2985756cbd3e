//! Which columns a list of events has, and in which order.

use crate::central::portal::filters::Filters;

/// A column of the list of events.
pub(in crate::central::portal) struct Column {
    pub(in crate::central::portal) slug: &'static str,
    pub(in crate::central::portal) title: &'static str,
    pub(in crate::central::portal) shown: bool,
}

/// Columns that there are, with their titles, and whether they are shown unless somebody chooses.
const COLUMNS: [(&str, &str, bool); 11] = [
    ("agent", "Agent", true),
    ("activity", "Activity", true),
    ("detail", "Detail", true),
    ("decision", "Decision", true),
    ("duration", "Duration", true),
    ("cost", "Cost (est.)", true),
    ("session", "Session", false),
    ("tool", "Tool", false),
    ("model", "Model", false),
    ("version", "Client version", false),
    ("machine", "Machine", false),
];

/// The columns that an address asks for, or the usual ones.
pub(super) fn of(filters: &Filters, of_one_agent: bool) -> Vec<Column> {
    let column = |(slug, title, usual): (&'static str, &'static str, bool)| Column {
        slug,
        title,
        shown: match filters.columns.as_slice() {
            [] => usual && !(of_one_agent && slug == "agent"),
            chosen => chosen.iter().any(|it| it == slug),
        },
    };
    let place = |slug: &str| filters.columns.iter().position(|it| it == slug);
    let mut columns: Vec<Column> = COLUMNS.into_iter().map(column).collect();
    // In the order in which the address names them; the others after them, as usual.
    columns.sort_by_key(|column| place(column.slug).unwrap_or(usize::MAX));
    columns
}
