//! The names that people sign in with.

/// Longest name, in bytes.
const MAX_NAME: usize = 254;

/// A name as it is kept: without spaces around it, in lower case.
///
/// # Errors
/// Words that say what would be right.
pub fn check_person_name(name: &str) -> Result<String, &'static str> {
    let name = name.trim().to_lowercase();
    let fits = (1..=MAX_NAME).contains(&name.len())
        && name
            .chars()
            .all(|character| character.is_alphanumeric() || "@.-_+'".contains(character));
    match fits {
        true => Ok(name),
        false => {
            Err("a person's name is an e-mail address, or a word of letters, digits and . - _ + '")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_an_address_or_a_word() {
        assert_eq!(
            check_person_name(" Ada@Example.com ").as_deref(),
            Ok("ada@example.com")
        );
        for bad in ["", " ", "a b", "a\u{202e}b", "<a>", "a/b"] {
            assert!(check_person_name(bad).is_err(), "{bad:?}");
        }
    }
}
