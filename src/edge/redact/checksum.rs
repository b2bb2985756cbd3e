//! Check digits: they tell a real number from a random one of the same shape.
//!
//! For secrets a checksum that fits only adds certainty. One that does not fit suppresses nothing, since the text may
//! be cut off. Personal numbers are different: without the check digit they would be just numbers.

use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde::Deserialize;

/// How the secret of a rule proves itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Checksum {
    /// The last six characters are the CRC-32 of the random part before them, as GitHub and npm have it.
    Crc32Base62,
    /// The first part decodes to JSON with `alg`.
    Jwt,
    /// The whole decodes to text.
    Base64Text,
}

impl Checksum {
    /// Whether the secret proves to be what it looks like.
    pub(super) fn fits(self, secret: &[u8]) -> bool {
        match self {
            Self::Crc32Base62 => {
                let prefix = secret
                    .iter()
                    .rposition(|b| *b == b'_')
                    .map_or(0, |at| at + 1);
                let (random, check) =
                    secret[prefix..].split_at(secret[prefix..].len().saturating_sub(6));
                crc32_base62(random, check)
            }
            Self::Jwt => {
                let header = secret.split(|b| *b == b'.').next().and_then(decode);
                let header =
                    header.and_then(|json| serde_json::from_slice::<serde_json::Value>(&json).ok());
                header.is_some_and(|header| header.get("alg").is_some())
            }
            Self::Base64Text => decode(secret).is_some_and(|text| {
                std::str::from_utf8(&text).is_ok_and(|text| {
                    !text.is_empty()
                        && !text.contains(|c: char| c.is_control() && !c.is_whitespace())
                })
            }),
        }
    }
}

/// One level of base64, of either alphabet and with or without padding.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|b| **b == b'=').count();
    let text = &text[..text.len() - padding];
    let standard = || BASE64_STANDARD_NO_PAD.decode(text).ok();
    BASE64_URL_SAFE_NO_PAD.decode(text).ok().or_else(standard)
}

/// Whether the digits end in the check digit of ISO/IEC 7812, as numbers of payment cards do.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let value = u32::from(digit - b'0') << (at % 2);
            value / 10 + value % 10
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether an account number without blanks has the check digits of ISO 13616.
pub(super) fn mod_97(iban: &[u8]) -> bool {
    let (country, account) = iban.split_at(iban.len().min(4));
    let rest = account.iter().chain(country).fold(0u32, |rest, &byte| {
        let value = u32::from(byte.to_ascii_uppercase());
        if byte.is_ascii_digit() {
            (rest * 10 + value - 48) % 97
        } else {
            (rest * 100 + value - 55) % 97
        }
    });
    rest == 1
}

/// Whether the last six characters of a GitHub or npm token are the CRC-32 of its random part, in base 62.
fn crc32_base62(random: &[u8], check: &[u8]) -> bool {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut crc = crc32fast::hash(random);
    let mut expected = [b'0'; 6];
    for place in expected.iter_mut().rev() {
        *place = DIGITS[(crc % 62) as usize];
        crc /= 62;
    }
    expected == check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_their_check_digits_fit_and_others_do_not() {
        assert!(luhn(b"4111111111111111") && !luhn(b"4111111111111112"));
        assert!(mod_97(b"GB82WEST12345698765432") && !mod_97(b"GB82WEST12345698765423"));
        assert!(crc32_base62(b"", b"000000") && !crc32_base62(b"a", b"000000"));
    }

    #[test]
    fn a_token_with_its_checksum_fits_and_another_does_not() {
        // The CRC-32 of "123456789" is the known check value 0xcbf43926; in base 62 it is 3jZRME.
        let token = ["npm_123456789", "3jZRME"].concat();
        assert!(Checksum::Crc32Base62.fits(token.as_bytes()));
        assert!(!Checksum::Crc32Base62.fits(b"npm_1234567893jZRMA"));
        let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        assert!(Checksum::Jwt.fits(format!("{header}.x").as_bytes()));
        assert!(!Checksum::Jwt.fits(b"e30.x") && !Checksum::Jwt.fits(b"eyJ"));
        assert!(Checksum::Base64Text.fits(b"aGFsbG8=") && !Checksum::Base64Text.fits(b"/////w=="));
    }
}
