//! A keyed hash in a placeholder: equal secrets correlate, and nobody without the key can try values.
//!
//! Keyed BLAKE3 rather than HMAC-SHA-256: a pseudorandom function by design, and already here for records' identity.
use super::escapes::Plain;
use super::pii::PiiKind;

/// Between the type and the hash of a placeholder.
pub(super) const HASH_SIGN: &str = ":h=";
/// 80 bits in base 32.
const HASH_LENGTH: usize = 16;
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Whoever gets hold of the key could try all shorter ones.
const SHORTEST: usize = 12;
/// So could they with all numbers of these kinds.
const FEW_VALUES: [PiiKind; 4] = [PiiKind::Card, PiiKind::Ssn, PiiKind::Phone, PiiKind::Ip];

/// The key of one installation.
pub(super) struct HashKey([u8; 32]);

impl std::fmt::Debug for HashKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("HashKey(…)")
    }
}

impl HashKey {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// 80 bits of the keyed hash over type and secret, in base 32; none where trying all values would tell the secret.
    /// Escapes do not count, so that one secret has one hash at every depth of escapes.
    pub(super) fn hash(&self, kind: &str, secret: &str) -> Option<String> {
        let is_safe = secret.len() >= SHORTEST && FEW_VALUES.iter().all(|few| few.name() != kind);
        is_safe.then(|| self.hash_whatever(kind, secret))
    }

    /// The same for a value of any length, which whoever gets hold of the key can try: a pseudonym.
    pub(super) fn hash_whatever(&self, kind: &str, secret: &str) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(kind.as_bytes()).update(&[0]);
        for part in Plain::of(secret).text().split('\\') {
            hasher.update(part.as_bytes());
        }
        let hash = hasher.finalize();
        let bits = hash.as_bytes()[..HASH_LENGTH * 5 / 8]
            .iter()
            .fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
        let digit = |place: usize| char::from(BASE32[(bits >> (place * 5)) as usize % 32]);
        (0..HASH_LENGTH).rev().map(digit).collect()
    }
}

/// Whether a text has the shape of a hash.
pub(super) fn is_hash(text: &str) -> bool {
    text.len() == HASH_LENGTH && text.bytes().all(|b| BASE32.contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_secrets_correlate_under_one_key_and_type_only() {
        let [one, other] = [1, 2].map(|byte| HashKey::new([byte; 32]));
        let hash = one
            .hash("secret", "a/b-c-d-e-f-g")
            .expect("it is long enough");
        assert!(is_hash(&hash));
        assert_eq!(one.hash("secret", "a\\/b-c-d-e-f-g"), Some(hash.clone()));
        assert_ne!(one.hash("password", "a/b-c-d-e-f-g"), Some(hash.clone()));
        assert_ne!(other.hash("secret", "a/b-c-d-e-f-g"), Some(hash));
    }

    #[test]
    fn what_could_be_tried_has_no_hash() {
        let key = HashKey::new([7; 32]);
        assert_eq!(key.hash("password", "elevenchars"), None);
        for kind in FEW_VALUES {
            assert_eq!(key.hash(kind.name(), "4111 1111 1111 1111"), None);
        }
    }
}
