//! Narrow keys for wide text: what the event table filters by.
//!
//! A text is looked up by 64 or 32 bits of its hash. Whoever reads compares the text itself, which is in
//! the record, so that two texts that meet in one key cost a row read in vain and nothing else.

/// Bytes of a record's key.
const UID_BYTES: usize = 16;

/// The key of a record's identity: its 128 bits when it is 32 hexadecimal digits, as identities made here
/// and at the edges are; else a hash of what the client set.
pub(super) fn uid_key(uid: &str) -> Vec<u8> {
    hex_bytes(uid).unwrap_or_else(|| blake3::hash(uid.as_bytes()).as_bytes()[..UID_BYTES].to_vec())
}

/// The first half of a record's key, by which events are told apart that happened in the same nanosecond.
pub(super) fn uid_number(uid: &str) -> i64 {
    let key = uid_key(uid);
    let (head, _) = key.split_first_chunk().expect("a key has 16 bytes");
    i64::from_be_bytes(*head)
}

/// The key of an agent's id, which is 16 hexadecimal digits.
pub(super) fn agent_key(id: &str) -> i64 {
    match u64::from_str_radix(id, 16) {
        Ok(number) if id.len() == 16 => number.cast_signed(),
        _ => text_key(id),
    }
}

/// The id of the agent with this key.
pub(super) fn agent_id(key: i64) -> String {
    format!("{:016x}", key.cast_unsigned())
}

/// A key for a text of which there are very many, such as a session's id.
pub(super) fn text_key(text: &str) -> i64 {
    let hash = blake3::hash(text.as_bytes());
    let (head, _) = hash
        .as_bytes()
        .split_first_chunk()
        .expect("a hash has 32 bytes");
    i64::from_be_bytes(*head)
}

/// A key for a text of which there are few, such as an event's name.
pub(super) fn word_key(text: &str) -> i64 {
    text_key(text) >> 32
}

fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 2 * UID_BYTES || !text.bytes().all(is_hex) {
        return None;
    }
    let number = u128::from_str_radix(text, 16).ok()?;
    Some(number.to_be_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_of_ours_is_kept_bit_for_bit_and_any_other_as_a_hash() {
        assert_eq!(
            uid_key("000102030405060708090a0b0c0d0e0f"),
            (0..16).collect::<Vec<u8>>()
        );
        let foreign = [
            "",
            "a",
            "000102030405060708090A0B0C0D0E0F",
            "a-client's-own-id",
        ];
        let keys: std::collections::BTreeSet<_> = foreign.iter().map(|uid| uid_key(uid)).collect();
        assert_eq!(keys.len(), foreign.len());
        assert!(keys.iter().all(|key| key.len() == UID_BYTES));
    }

    #[test]
    fn an_agent_comes_back_from_its_key() {
        for id in ["0000000000000000", "0123456789abcdef", "ffffffffffffffff"] {
            assert_eq!(agent_id(agent_key(id)), id);
        }
    }
}
