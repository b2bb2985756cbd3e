//! Records that cannot be stored while the rest of their request stands.

use crate::otlp::reply::PartialSuccess;

/// Why a record is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rejection {
    /// It could not be read as OTLP.
    Unreadable,
    /// It is larger than allowed.
    TooLarge,
    /// It happened before the time for which the tenant keeps records.
    TooOld,
}

impl Rejection {
    pub(super) const ALL: [Rejection; 3] = [
        Rejection::Unreadable,
        Rejection::TooLarge,
        Rejection::TooOld,
    ];

    /// The reason as metrics name it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Rejection::Unreadable => "unreadable",
            Rejection::TooLarge => "too_large",
            Rejection::TooOld => "too_old",
        }
    }
}

/// How many records of one request were rejected, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rejected([usize; Rejection::ALL.len()]);

impl Rejected {
    pub(super) fn add(&mut self, reason: Rejection, records: usize) {
        self.0[reason as usize] += records;
    }

    pub(super) fn of(self, reason: Rejection) -> usize {
        self.0[reason as usize]
    }

    /// As the client is told: how many, and what each kind of them would need. `max_record` in bytes.
    pub(super) fn tell(self, max_record: usize) -> PartialSuccess {
        let told = Rejection::ALL.into_iter().filter_map(|reason| {
            let count = self.of(reason);
            let records = match count {
                0 => return None,
                1 => "1 record".to_owned(),
                count => format!("{count} records"),
            };
            Some(match reason {
                Rejection::Unreadable => format!("{records} could not be read as OTLP"),
                Rejection::TooLarge => {
                    format!("{records} larger than {max_record} bytes (ingest.max_record)")
                }
                Rejection::TooOld => {
                    format!("{records} older than the time for which records are kept")
                }
            })
        });
        PartialSuccess {
            rejected: i64::try_from(self.0.iter().sum::<usize>()).unwrap_or(i64::MAX),
            message: told.collect::<Vec<_>>().join("; "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_many_and_why() {
        assert_eq!(Rejected::default().tell(9), PartialSuccess::default());
        let mut rejected = Rejected::default();
        rejected.add(Rejection::TooOld, 3);
        rejected.add(Rejection::TooLarge, 1);
        let told = rejected.tell(1024);
        assert_eq!(told.rejected, 4);
        assert_eq!(
            told.message,
            "1 record larger than 1024 bytes (ingest.max_record); \
             3 records older than the time for which records are kept"
        );
    }
}
