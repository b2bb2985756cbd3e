//! Text of any length comes out as if it had been looked at as a whole.
use std::io::{self, Read};

use fieldpost::edge::redact::redact_stream;

use super::redactor;
use super::world::github_token;

/// Gives a text in pieces of so many bytes.
struct Pieces<'t> {
    text: &'t [u8],
    size: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.size.min(self.text.len()).min(buffer.len());
        let (now, later) = self.text.split_at(length);
        buffer[..length].copy_from_slice(now);
        self.text = later;
        Ok(length)
    }
}

fn streamed(text: &[u8], size: usize) -> (Vec<u8>, u64, Vec<(u64, String)>) {
    let (mut output, mut found) = (Vec::new(), Vec::new());
    let hits = redact_stream(redactor(), Pieces { text, size }, &mut output, |block| {
        for finding in block.findings {
            let before = &block.text[..finding.range.start];
            let line = block.first_line + before.matches('\n').count() as u64;
            found.push((line, finding.kind.clone()));
        }
    });
    (output, hits.expect("no pipe breaks").total(), found)
}

#[test]
fn a_text_of_several_blocks_comes_out_as_if_it_were_one() {
    let [begin, end] =
        ["BEGIN", "END"].map(|word| format!("-----{word} RSA {} KEY-----", "PRIVATE"));
    let key = format!(
        "{begin}\n{}{end}\n",
        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n".repeat(40)
    );
    let prose = "a line of prose, then é and 日 and 🔑, and nothing to hide\n".repeat(90);
    let mut text = String::new();
    // Keys and tokens at ever other places of their blocks.
    while text.len() < 5 << 19 {
        text.push_str(&prose[..prose.floor_char_boundary(text.len() % prose.len())]);
        text.push('\n');
        text.push_str(&key);
        text.push_str(&format!("token {}\n", github_token()));
    }
    let (whole, hits) = redactor().redact_text(&text);
    for size in [4093, 1 << 20] {
        let (output, found, places) = streamed(text.as_bytes(), size);
        assert!(output == whole.as_bytes(), "in pieces of {size}");
        assert_eq!(found, hits.total());
        assert_eq!(places.len() as u64, found);
        let line = text[..text.find(&begin).expect("a key")]
            .matches('\n')
            .count() as u64;
        assert_eq!(places[0], (line + 2, "private-key".to_owned()));
    }
}

#[test]
fn a_line_without_end_and_bytes_that_are_no_text_go_through() {
    let line = "0 ".repeat(3 << 19);
    assert!(streamed(line.as_bytes(), 1 << 16).0 == line.as_bytes());
    let token = github_token();
    let broken = [
        b"\xff\xfe a \xe2\x82 b ".as_slice(),
        token.as_bytes(),
        b"\n\xe2\x82",
    ]
    .concat();
    for size in [1, 2, 100] {
        let (output, hits, _) = streamed(&broken, size);
        let expected = "\u{fffd}\u{fffd} a \u{fffd} b [REDACTED:github-token]\n\u{fffd}";
        assert_eq!(String::from_utf8(output).expect("text"), expected);
        assert_eq!(hits, 1);
    }
    assert_eq!(streamed(b"", 1).0, b"");
}
