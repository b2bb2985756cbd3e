//! How the rows of Observability look: which columns in which order, how high, and whether text wraps. A list's
//! address may say so; where it does not, the person's preference holds, and else what is usual. What an
//! address says is refused when nobody knows it; a preference that is not known any more is forgotten.

use super::text::visible;

/// A column besides the first, which opens the row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// In addresses.
    pub(super) slug: &'static str,
    pub(super) title: &'static str,
    /// Of its cells: `side` gives way to a record that is open.
    pub(super) class: &'static str,
    is_usual: bool,
}

/// Columns, in an order.
pub(super) type Columns = Vec<&'static Column>;

/// What the rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    Events,
    Sessions,
}

/// What somebody chose; what is empty, nobody chose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) events: Columns,
    pub(super) sessions: Columns,
    /// `s`, `m` or `l`.
    pub(super) height: &'static str,
    /// Whether text wraps: `1` or `0`.
    pub(super) wrap: &'static str,
}

const fn column(slug: &'static str, title: &'static str, class: &'static str) -> Column {
    Column {
        slug,
        title,
        class,
        is_usual: true,
    }
}

const fn extra(slug: &'static str, title: &'static str, class: &'static str) -> Column {
    Column {
        is_usual: false,
        ..column(slug, title, class)
    }
}

const EVENTS: [Column; 12] = [
    column("agent", "Agent", "cut"),
    column("activity", "Activity", "cut"),
    column("detail", "Detail", "grow"),
    column("decision", "Decision", "side"),
    column("duration", "Duration", "number side"),
    column("cost", "Cost (est.)", "number side"),
    extra("flags", "Flags", "side"),
    extra("session", "Session", "side"),
    extra("tool", "Tool", "cut side"),
    extra("model", "Model", "cut side"),
    extra("version", "Client version", "side"),
    extra("machine", "Machine", "cut side"),
];

const SESSIONS: [Column; 11] = [
    column("agent", "Agent", "cut"),
    column("prompt", "First prompt", "grow prompts"),
    column("turns", "Turns", "number"),
    column("tools", "Tools", "number"),
    column("problems", "Denied, errors", ""),
    column("tokens", "Tokens", "number"),
    column("cost", "Cost (est.)", "number"),
    column("duration", "Duration", "number"),
    column("models", "Models", "cut"),
    column("records", "Records", ""),
    extra("version", "Client version", ""),
];

const HEIGHTS: [&str; 3] = ["s", "m", "l"];
const WRAPS: [&str; 2] = ["0", "1"];

impl Rows {
    /// Every column that there is.
    pub(super) fn columns(self) -> &'static [Column] {
        match self {
            Rows::Events => &EVENTS,
            Rows::Sessions => &SESSIONS,
        }
    }

    /// Those that are shown unless somebody chooses. An agent's own page need not name it.
    pub(super) fn usual(self, of_one_agent: bool) -> Columns {
        let shown = |column: &&Column| column.is_usual && !(of_one_agent && column.slug == "agent");
        self.columns().iter().filter(shown).collect()
    }

    /// The parameter that names them.
    pub(super) fn key(self) -> &'static str {
        match self {
            Rows::Events => "columns",
            Rows::Sessions => "session-columns",
        }
    }

    /// The columns of these names, in their order; none for no name.
    ///
    /// # Errors
    /// Words that say which there are.
    pub(super) fn named<'a>(
        self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Columns, String> {
        let mut columns = Columns::new();
        for name in names {
            let Some(column) = self.columns().iter().find(|column| column.slug == name) else {
                let known: Vec<&str> = self.columns().iter().map(|column| column.slug).collect();
                return Err(format!(
                    "“{}” is no column of this list. There are {}, with a dot between them.",
                    visible(name),
                    known.join(", ")
                ));
            };
            if columns.contains(&column) {
                return Err(format!("The column “{name}” is asked for twice."));
            }
            columns.push(column);
        }
        Ok(columns)
    }
}

impl Layout {
    /// The parameters that say it.
    pub(super) const KEYS: [&'static str; 4] = ["columns", "session-columns", "rows", "wrap"];

    /// Takes what one of the parameters says.
    ///
    /// # Errors
    /// Words for what nobody knows.
    pub(super) fn read(&mut self, key: &str, value: &str) -> Result<(), String> {
        let names = value.split('.').filter(|name| !name.is_empty());
        match key {
            "columns" => self.events = Rows::Events.named(names)?,
            "session-columns" => self.sessions = Rows::Sessions.named(names)?,
            "rows" => self.height = one_of(&HEIGHTS, key, value)?,
            _ => self.wrap = one_of(&WRAPS, key, value)?,
        }
        Ok(())
    }

    /// What its parameters are.
    pub(super) fn pairs(&self) -> [(&'static str, String); 4] {
        [
            (Rows::Events.key(), slugs(&self.events)),
            (Rows::Sessions.key(), slugs(&self.sessions)),
            ("rows", self.height.to_owned()),
            ("wrap", self.wrap.to_owned()),
        ]
    }

    /// What [`Layout::kept`] wrote, as far as it is known still.
    pub(super) fn remembered(text: &str) -> Layout {
        let mut layout = Layout::default();
        for (key, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
            let mut read = layout.clone();
            if Layout::KEYS.contains(&key) && read.read(key, value).is_ok() {
                layout = read;
            }
        }
        layout
    }

    /// In one line, of letters that a cookie can have.
    pub(super) fn kept(&self) -> String {
        let pairs = self.pairs();
        let given = pairs.iter().filter(|(_, value)| !value.is_empty());
        let given: Vec<String> = given.map(|(key, value)| format!("{key}={value}")).collect();
        given.join("&")
    }

    /// The columns that were chosen for a list.
    pub(super) fn of(&self, rows: Rows) -> &Columns {
        match rows {
            Rows::Events => &self.events,
            Rows::Sessions => &self.sessions,
        }
    }

    /// This layout with other columns for a list.
    pub(super) fn with(&self, rows: Rows, columns: Columns) -> Layout {
        let mut layout = self.clone();
        match rows {
            Rows::Events => layout.events = columns,
            Rows::Sessions => layout.sessions = columns,
        }
        layout
    }

    /// This choice, and another's where there is none.
    pub(super) fn or(&self, other: &Layout) -> Layout {
        let columns = |rows: Rows| match self.of(rows).is_empty() {
            true => other.of(rows).clone(),
            false => self.of(rows).clone(),
        };
        Layout {
            events: columns(Rows::Events),
            sessions: columns(Rows::Sessions),
            height: chosen_or(self.height, other.height),
            wrap: chosen_or(self.wrap, other.wrap),
        }
    }
}

/// Columns as an address names them.
pub(super) fn slugs(columns: &[&'static Column]) -> String {
    let slugs: Vec<&str> = columns.iter().map(|column| column.slug).collect();
    slugs.join(".")
}

/// What was chosen, and something else where nothing was.
pub(super) fn chosen_or(chosen: &'static str, other: &'static str) -> &'static str {
    match chosen {
        "" => other,
        chosen => chosen,
    }
}

fn one_of(known: &[&'static str], key: &str, value: &str) -> Result<&'static str, String> {
    if value.is_empty() {
        return Ok("");
    }
    let found = known.iter().find(|it| **it == value);
    found.copied().ok_or_else(|| {
        let value = visible(value);
        format!(
            "“{value}” is nothing that {key}= can be: {}.",
            known.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_kept_and_read_back() {
        let mut layout = Layout::default();
        for (key, value) in [
            ("columns", "detail.agent"),
            ("session-columns", "turns"),
            ("rows", "l"),
            ("wrap", "0"),
        ] {
            layout.read(key, value).expect(key);
        }
        let kept = "columns=detail.agent&session-columns=turns&rows=l&wrap=0";
        assert_eq!(layout.kept(), kept);
        assert_eq!(Layout::remembered(kept), layout);
        assert_eq!(
            Layout::remembered("columns=detail.color&rows=l&wrap=<b>&nonsense").kept(),
            "rows=l"
        );
    }

    #[test]
    fn what_an_address_does_not_say_the_preference_does() {
        let preference = Layout::remembered("columns=detail&rows=l&wrap=1");
        let address = Layout::remembered("session-columns=turns&rows=m");
        assert_eq!(
            address.or(&preference).kept(),
            "columns=detail&session-columns=turns&rows=m&wrap=1"
        );
    }

    #[test]
    fn what_nobody_knows_is_refused_in_words() {
        let mut layout = Layout::default();
        for (key, value, words) in [
            ("columns", "agent.color", "“color” is no column"),
            ("columns", "agent.agent", "asked for twice"),
            (
                "session-columns",
                "detail",
                "There are agent, prompt, turns",
            ),
            ("rows", "xl", "“xl” is nothing that rows= can be: s, m, l."),
            ("wrap", "yes", "wrap= can be"),
        ] {
            let problem = layout.read(key, value).expect_err(value);
            assert!(problem.contains(words), "{problem}");
        }
        assert_eq!(layout, Layout::default());
    }
}
