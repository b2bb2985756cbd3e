//! `info` in each segment's directory: what is known of the segment without opening it.
//!
//! One line: `segment 1 open <before>` from its making on, and from its sealing on
//! `segment 1 sealed <before> <last_seq> <end> <records> <bytes> <oldest>`, each followed by the
//! CRC32 of what stands before it. `before` is the highest record number before the segment,
//! `last_seq` that up to its end; `end` is the number after its last entry.
//! A file that is missing or damaged costs nothing but a scan of the segment.

use std::{fs, io, path::Path};

use super::directory;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Info {
    Open { before: u64 },
    Sealed(Totals),
}

/// What a segment holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Totals {
    /// The highest record number before the segment.
    pub(super) before: u64,
    /// The highest that is stored up to its end, or known to be lost up to there.
    pub(super) last_seq: u64,
    pub(super) end: u64,
    pub(super) records: u64,
    /// Bytes of the stored values, with sled's own.
    pub(super) bytes: u64,
    /// When the first entry was appended, milliseconds since 1970.
    pub(super) oldest: u64,
}

impl Info {
    pub(super) fn write(&self, segment: &Path) -> io::Result<()> {
        let line = match self {
            Info::Open { before } => format!("segment 1 open {before}"),
            Info::Sealed(t) => {
                let Totals {
                    before,
                    last_seq,
                    end,
                    records,
                    bytes,
                    oldest,
                } = t;
                format!("segment 1 sealed {before} {last_seq} {end} {records} {bytes} {oldest}")
            }
        };
        let crc = crc32fast::hash(line.as_bytes());
        directory::replace_file(&segment.join("info"), &format!("{line} {crc:08x}\n"))
    }

    pub(super) fn read(segment: &Path) -> Option<Info> {
        parse(&fs::read_to_string(segment.join("info")).ok()?)
    }
}

fn parse(text: &str) -> Option<Info> {
    let (line, crc) = text.trim_end().rsplit_once(' ')?;
    if u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(line.as_bytes()) {
        return None;
    }
    let (kind, numbers) = line.strip_prefix("segment 1 ")?.split_once(' ')?;
    let numbers: Vec<u64> = numbers
        .split(' ')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    match (kind, numbers[..].as_ref()) {
        ("open", &[before]) => Some(Info::Open { before }),
        ("sealed", &[before, last_seq, end, records, bytes, oldest]) => {
            Some(Info::Sealed(Totals {
                before,
                last_seq,
                end,
                records,
                bytes,
                oldest,
            }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_was_written_and_refuses_a_changed_digit() {
        let directory = tempfile::tempdir().unwrap();
        let totals = Totals {
            before: 1,
            last_seq: 5,
            end: 9,
            records: 4,
            bytes: 700,
            oldest: 1,
        };
        for info in [Info::Open { before: 3 }, Info::Sealed(totals)] {
            info.write(directory.path()).unwrap();
            assert_eq!(Info::read(directory.path()), Some(info));
        }
        let path = directory.path().join("info");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("700", "701")).unwrap();
        assert_eq!(Info::read(directory.path()), None);
    }
}
