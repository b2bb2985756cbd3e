//! Metrics in the text format of Prometheus (version 0.0.4). It is a page of lines; no crate for it is
//! lighter than this file.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

/// The format's `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Lines of text.
#[derive(Debug, Default)]
pub struct Page(String);

/// One metric on the page, to add samples to.
#[derive(Debug)]
pub struct Metric<'a> {
    page: &'a mut String,
    name: &'static str,
}

impl Page {
    /// The page.
    pub fn text(self) -> String {
        self.0
    }

    /// A number that only grows while the process runs.
    pub fn counter(&mut self, name: &'static str, help: &str) -> Metric<'_> {
        self.metric(name, "counter", help)
    }

    /// A number as it is now.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> Metric<'_> {
        self.metric(name, "gauge", help)
    }

    fn metric(&mut self, name: &'static str, kind: &str, help: &str) -> Metric<'_> {
        self.0
            .push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Metric {
            page: &mut self.0,
            name,
        }
    }
}

impl Metric<'_> {
    /// The only sample.
    pub fn value(&mut self, value: impl Display) {
        self.sample(&[], value);
    }

    /// A sample for each word, under `label`.
    pub fn by(&mut self, label: &str, counts: &BTreeMap<String, u64>) {
        for (word, count) in counts {
            self.sample(&[(label, word)], count);
        }
    }

    /// One sample.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, text)| format!("{label}=\"{}\"", escaped(text)))
            .collect();
        let labels = match labels.is_empty() {
            true => String::new(),
            false => format!("{{{}}}", labels.join(",")),
        };
        writeln!(self.page, "{}{labels} {value}", self.name)
            .expect("writing to a string cannot fail");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
