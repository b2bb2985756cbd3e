//! Who reads the token's file. Since version 247 systemd does, as root, and hands the service a copy of its own
//! (`LoadCredential=`); an older one, such as that of RHEL 8, only warns of the setting, and the service reads the file
//! itself.

use std::process::Command;

/// The first systemd that hands credentials over.
const SINCE: u32 = 247;

/// Whether the machine's systemd hands the service a copy of the token. Where there is none to ask, such as in an image
/// that is being built, one of today is expected.
pub(in crate::edge) fn has_credentials() -> bool {
    let output = Command::new("systemctl").arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    version(&text.unwrap_or_default()).is_none_or(|version| version >= SINCE)
}

/// `systemd 239 (239-82.el8)`
fn version(text: &str) -> Option<u32> {
    let word = text.strip_prefix("systemd ")?;
    let digits = word.split(|letter: char| !letter.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_number_after_the_name() {
        assert_eq!(version("systemd 239 (239-82.el8)\n+PAM"), Some(239));
        assert_eq!(version("systemd 257~rc2 (257~rc2-1)\n"), Some(257));
        assert_eq!(version("OpenRC 0.45"), None);
    }
}
