//! Redacts text of any length, block by block.
//!
//! A block is a mebibyte, cut at the end of a line. It is never cut inside what was found in it, nor in its last
//! 64 KiB, which are looked at again with the next block: a secret that spans lines, such as a private key, is found
//! across the cut. Only a line longer than 16 MiB is cut where it comes.
use std::io::{self, Read, Write};

use super::{Finding, Hits, Redactor};

/// Text that is looked at together, in bytes.
const BLOCK: usize = 1 << 20;
/// The end of a block that waits for what follows it; longer than a rule looks.
const MARGIN: usize = 64 << 10;
/// Ends of lines at which a cut is tried, before more is read.
const MAX_CUTS: usize = 16;
/// Text without a place to cut that is kept together.
const MAX_BLOCK: usize = 16 << 20;

/// A block, with what is replaced in it.
#[derive(Debug)]
pub struct Block<'b> {
    /// The number of its first line, counted from 1.
    pub first_line: u64,
    /// The block as it was read.
    pub text: &'b str,
    /// What is replaced, in the order of the places.
    pub findings: &'b [Finding],
}

/// Copies `input` to `output` without its secrets, and tells `seen` of each block before it is written. Bytes that are
/// no UTF-8 become U+FFFD.
///
/// # Errors
/// When reading or writing fails; nothing unredacted has been written.
pub fn redact_stream(
    redactor: &Redactor,
    mut input: impl Read,
    mut output: impl Write,
    mut seen: impl FnMut(&Block<'_>),
) -> io::Result<Hits> {
    let mut hits = Hits::default();
    let mut reader = TextReader::default();
    let mut first_line = 1;
    let mut wanted = BLOCK;
    loop {
        let is_end = reader.fill(&mut input, wanted)?;
        let text = &reader.text;
        let findings = redactor.findings(text);
        let cut = match is_end {
            true => text.len(),
            false => cut(redactor, text, &findings),
        };
        if cut == 0 && !is_end {
            wanted *= 2;
            continue;
        }
        wanted = BLOCK;
        let text = &text[..cut];
        let inside = findings.partition_point(|finding| finding.range.start < cut);
        seen(&Block {
            first_line,
            text,
            findings: &findings[..inside],
        });
        let (redacted, found) = redactor.redact_text(text);
        output.write_all(redacted.as_bytes())?;
        hits.merge(&found);
        first_line += text.bytes().filter(|byte| *byte == b'\n').count() as u64;
        reader.text.drain(..cut);
        if is_end {
            output.flush()?;
            return Ok(hits);
        }
    }
}

/// Where a block that is not the last may end; 0 when more must be read to know. The rest must show the same secrets
/// without what stands before it: the first line of a private key, or a key whose value follows on the next line.
fn cut(redactor: &Redactor, text: &str, findings: &[Finding]) -> usize {
    let mut limit = text.len().saturating_sub(MARGIN);
    for _ in 0..MAX_CUTS {
        let line = text.as_bytes()[..limit]
            .iter()
            .rposition(|byte| *byte == b'\n');
        let Some(end) = line.map(|at| at + 1) else {
            break;
        };
        let after = findings.partition_point(|finding| finding.range.start < end);
        let inside = findings[..after]
            .iter()
            .find(|finding| end < finding.range.end);
        limit = match inside {
            Some(finding) => finding.range.start,
            None => {
                let of_rest = redactor.findings(&text[end..]);
                let places = of_rest.iter().map(|finding| finding.range.start + end);
                if places.eq(findings[after..].iter().map(|finding| finding.range.start)) {
                    return end;
                }
                end - 1
            }
        };
    }
    match text.len() < MAX_BLOCK {
        true => 0,
        false => text.floor_char_boundary(text.len() - MARGIN),
    }
}

/// Text as far as it was read, and the beginning of a character whose end was not.
#[derive(Default)]
struct TextReader {
    text: String,
    rest: Vec<u8>,
}

impl TextReader {
    /// Reads on until there are so many bytes of text; true at the end of the input.
    fn fill(&mut self, input: &mut impl Read, wanted: usize) -> io::Result<bool> {
        let mut buffer = vec![0; MARGIN];
        while self.text.len() < wanted {
            let length = match input.read(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.rest.extend_from_slice(&buffer[..length]);
            self.decode(length == 0);
            if length == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn decode(&mut self, is_end: bool) {
        let bytes = std::mem::take(&mut self.rest);
        let mut bytes = bytes.as_slice();
        while let Err(error) = std::str::from_utf8(bytes) {
            let (valid, after) = bytes.split_at(error.valid_up_to());
            self.text.push_str(&String::from_utf8_lossy(valid));
            match error.error_len() {
                None if !is_end => {
                    self.rest = after.to_vec();
                    return;
                }
                length => {
                    self.text.push(char::REPLACEMENT_CHARACTER);
                    bytes = &after[length.unwrap_or(after.len())..];
                }
            }
        }
        self.text.push_str(&String::from_utf8_lossy(bytes));
    }
}
