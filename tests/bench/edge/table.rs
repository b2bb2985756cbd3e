//! The table that is printed at the end.

use std::time::Duration;

/// One figure.
pub(crate) struct Row {
    what: String,
    target: String,
    measured: String,
    floor: String,
    load: String,
}

impl Row {
    /// A figure that was measured just now.
    pub(crate) fn new(
        what: impl Into<String>,
        target: impl Into<String>,
        measured: impl Into<String>,
    ) -> Row {
        Row {
            what: what.into(),
            target: target.into(),
            measured: measured.into(),
            floor: String::new(),
            load: load_average(),
        }
    }

    /// What a plain file reaches on the same disk.
    pub(crate) fn floor(mut self, floor: impl Into<String>) -> Row {
        self.floor = floor.into();
        self
    }

    fn cells(&self) -> [&str; 5] {
        [
            &self.what,
            &self.target,
            &self.measured,
            &self.floor,
            &self.load,
        ]
    }
}

/// The figures so far.
pub(crate) struct Table(Vec<Row>);

impl Table {
    pub(crate) fn new() -> Table {
        let heading = Row {
            what: "what".into(),
            target: "target".into(),
            measured: "measured".into(),
            floor: "plain file".into(),
            load: "load".into(),
        };
        Table(vec![heading])
    }

    pub(crate) fn add(&mut self, row: Row) {
        eprintln!("  {}: {}", row.what, row.measured);
        self.0.push(row);
    }

    pub(crate) fn print(&self) {
        let mut widths = [0; 5];
        for row in &self.0 {
            for (width, cell) in widths.iter_mut().zip(row.cells()) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &self.0 {
            let cells = row.cells().into_iter().zip(widths);
            let line: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            println!("{}", line.join("  ").trim_end());
        }
    }
}

/// How busy the machine is, by itself and by others: processes of the last minute.
fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

pub(crate) fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
