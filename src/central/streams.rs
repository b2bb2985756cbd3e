//! Answers that go on for long, so many of each person at once: forgotten tabs, or a script, shall not keep the
//! store from everybody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// What goes on for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stream {
    /// A count of what arrives.
    Live,
    /// An export of a list.
    Export,
}

impl Stream {
    /// How many of them a person has at once at most.
    pub(super) fn most(self) -> usize {
        match self {
            Stream::Live => 12,
            Stream::Export => 3,
        }
    }
}

type Open = HashMap<(Stream, String), usize>;

/// What is under way, by person.
#[derive(Clone, Default)]
pub(super) struct Streams(Arc<Mutex<Open>>);

/// One of them; it has ended when this is dropped.
pub(super) struct OpenStream {
    streams: Streams,
    key: (Stream, String),
}

impl Streams {
    /// Begins one more for a person, by id; `None` when there are as many as there may be.
    pub(super) fn open(&self, stream: Stream, person: &str) -> Option<OpenStream> {
        let key = (stream, person.to_owned());
        let mut open = self.0.lock().expect("no holder of this lock panics");
        let count = open.entry(key.clone()).or_default();
        if *count >= stream.most() {
            return None;
        }
        *count += 1;
        Some(OpenStream {
            streams: self.clone(),
            key,
        })
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut open = self
            .streams
            .0
            .lock()
            .expect("no holder of this lock panics");
        if let Some(count) = open.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_has_so_many_at_once_and_others_have_theirs() {
        let streams = Streams::default();
        let all: Vec<_> = (0..Stream::Export.most())
            .map(|_| streams.open(Stream::Export, "ada"))
            .collect();
        assert!(all.iter().all(Option::is_some));
        assert!(streams.open(Stream::Export, "ada").is_none());
        assert!(streams.open(Stream::Export, "joan").is_some());
        assert!(streams.open(Stream::Live, "ada").is_some());
        drop(all);
        assert!(streams.open(Stream::Export, "ada").is_some());
        assert!(streams.0.lock().unwrap().is_empty(), "nothing is left over");
    }
}
