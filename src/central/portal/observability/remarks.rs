//! What a reader should know of a list's rows before trusting them.

use crate::central::portal::event_row::late;
use crate::central::store::Event;
use crate::words;

use super::Listing;

impl Listing {
    /// What a reader should know of these rows before trusting them.
    pub(super) fn remark(&mut self, events: &[Event]) {
        let hidden = events.iter().filter(|event| event.is_hidden_in_part());
        let late = events.iter().filter(|event| late(event).is_some());
        let counted = [
            (hidden.count(), "with content hidden by your role"),
            (late.count(), "arrived late"),
        ];
        for (count, what) in counted {
            self.remark_on(count, events.len(), what);
        }
    }

    /// Says of how many of the rows something is so.
    pub(super) fn remark_on(&mut self, count: usize, of: usize, what: &str) {
        if count == 0 {
            return;
        }
        let on_this_page = if self.older.is_some() || self.newer.is_some() {
            " on this page"
        } else {
            ""
        };
        let count = match count == of {
            true => "all".to_owned(),
            false => words::count(count as i64),
        };
        self.remarks.push(format!("{count} {what}{on_this_page}"));
    }
}
