//! What an address asks of a list of metrics or spans.

use crate::central::portal::address::with_query;
use crate::central::portal::failure::Failure;
use crate::central::portal::filters::{Chip, as_field, no_filter, time};
use crate::central::portal::text::visible;
use crate::central::store::SignalFilter;
use crate::event::Timestamp;
use crate::otlp::Signal;

/// What an address asks of a list.
#[derive(Clone, Debug, Default)]
pub(in crate::central::portal) struct SignalWish {
    pub(super) name: String,
    /// Of spans alone.
    pub(super) trace: String,
    /// A time as addresses have it, or as a field has it.
    pub(super) from: String,
    pub(super) to: String,
    /// The cursor of the page.
    pub(super) after: String,
    /// What the address has that is no filter of the list.
    unknown: Option<String>,
}

impl SignalWish {
    /// Reads the pairs of an address.
    ///
    /// # Errors
    /// When a field stands there twice.
    pub(in crate::central::portal) fn read(
        signal: Signal,
        pairs: Vec<(String, String)>,
    ) -> Result<SignalWish, Failure> {
        let mut wish = SignalWish::default();
        let mut seen: Vec<String> = Vec::new();
        for (key, value) in pairs {
            if seen.contains(&key) {
                return Err(Failure::BadRequest(
                    "A filter in this address stands there twice or cannot be read.",
                ));
            }
            let value = value.trim().to_owned();
            match key.as_str() {
                "name" => wish.name = value,
                "trace" if signal == Signal::Traces => wish.trace = value,
                "from" => wish.from = value,
                "to" => wish.to = value,
                "after" => wish.after = value,
                // A form sends fields that are empty.
                _ if value.is_empty() => {}
                _ => wish.unknown = Some(key.clone()),
            }
            seen.push(key);
        }
        Ok(wish)
    }

    /// What the store is asked.
    ///
    /// # Errors
    /// When something is no filter of the list, or a time or a trace's id cannot be read: in words.
    pub(in crate::central::portal) fn for_store(&self) -> Result<SignalFilter, String> {
        if let Some(key) = &self.unknown {
            return Err(no_filter(key));
        }
        let is_trace =
            self.trace.len() == 32 && self.trace.bytes().all(|it| it.is_ascii_hexdigit());
        if !self.trace.is_empty() && !is_trace {
            return Err("A trace's id is 32 hexadecimal digits.".to_owned());
        }
        Ok(SignalFilter {
            name: Some(self.name.clone()),
            trace: Some(self.trace.clone()),
            from: time("From", &self.from)?,
            to: time("Until", &self.to)?,
        })
    }

    /// With its times as they are whatever zone the next reader has.
    pub(super) fn settled(self, filter: &SignalFilter) -> SignalWish {
        let text = |time: Option<Timestamp>| time.map_or(String::new(), |time| time.to_string());
        SignalWish {
            from: text(filter.from),
            to: text(filter.to),
            ..self
        }
    }

    /// From and until, as fields have them.
    pub(super) fn fields(filter: &SignalFilter) -> (String, String) {
        (as_field(filter.from), as_field(filter.to))
    }

    /// The page at a cursor.
    pub(super) fn at(&self, after: String) -> SignalWish {
        SignalWish {
            after,
            ..self.clone()
        }
    }

    /// What narrows the list: for an export, and for an address but for its cursor.
    pub(super) fn pairs(&self) -> Vec<(&'static str, &str)> {
        let mut pairs = vec![
            ("name", &*self.name),
            ("trace", &self.trace),
            ("from", &self.from),
            ("to", &self.to),
        ];
        pairs.retain(|(_, value)| !value.is_empty());
        pairs
    }

    pub(in crate::central::portal) fn address(&self, path: &str) -> String {
        let mut pairs = self.pairs();
        if !self.after.is_empty() {
            pairs.push(("after", &self.after));
        }
        with_query(path, &pairs)
    }

    /// The filters that are set, each with the address without it.
    pub(super) fn chips(&self, path: &str) -> Vec<Chip> {
        let [name, trace, from, to] = ["name", "trace", "from", "to"].map(|key| {
            let others = self.pairs().into_iter().filter(|(other, _)| *other != key);
            with_query(path, &others.collect::<Vec<_>>())
        });
        let chips = [
            ("Name", &self.name, name),
            ("Trace", &self.trace, trace),
            ("From", &self.from, from),
            ("Until", &self.to, to),
        ];
        let set = chips.into_iter().filter(|(_, value, _)| !value.is_empty());
        set.map(|(label, value, without)| Chip {
            label: label.to_owned(),
            value: visible(value),
            is_excluded: false,
            without,
        })
        .collect()
    }
}
