//! More than fits.

use super::fieldpost::client;
use super::records::{claude_session, request};

/// Records in each request.
pub(crate) const RECORDS: usize = 20;

/// Posts requests of one session of [`RECORDS`] each, named `name`-0 and so on, to `logs`, one after the other, until `enough` of the
/// number of answers and the last status. The sessions and their statuses.
pub(crate) async fn post_until(
    logs: &str,
    name: &str,
    mut enough: impl FnMut(usize, u16) -> bool,
) -> Vec<(String, u16)> {
    let mut answers = Vec::new();
    for n in 0.. {
        let session = format!("{name}-{n}");
        let mut records = claude_session("ada@example.com", &session, RECORDS);
        for (i, record) in records.iter_mut().enumerate() {
            let words = words(n * 100 + i as u64, 2000);
            record.attributes.insert("prompt".into(), words.into());
        }
        let answer = client()
            .post(logs)
            .header("content-type", "application/json")
            .body(request(&records).to_string())
            .send()
            .await
            .expect("the edge answers");
        let status = answer.status().as_u16();
        answers.push((session, status));
        if enough(answers.len(), status) {
            break;
        }
    }
    answers
}

/// So many short words that do not compress well, and are no secrets.
fn words(seed: u64, count: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::new();
    for _ in 0..count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let letters = state.to_le_bytes().map(|byte| char::from(b'a' + byte % 26));
        text.extend(&letters[..4]);
        text.push(' ');
    }
    text
}
