//! What the system calls this machine: its id and its serial number.
//!
//! Linux has both in files; the serial number of most is readable by root alone, and is left out then. macOS has both
//! in its registry of devices, which `ioreg` prints to everybody; this is tested with what it prints, not on a Mac.

/// The machine's id, and the number that its maker gave it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) id: Option<String>,
    pub(super) serial: Option<String>,
}

impl Machine {
    /// Asks the system.
    #[cfg(not(target_os = "macos"))]
    pub(super) fn read() -> Machine {
        const IDS: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
        // The first is of computers with a BIOS, the other of boards with a device tree.
        const SERIALS: [&str; 2] = [
            "/sys/class/dmi/id/product_serial",
            "/sys/firmware/devicetree/base/serial-number",
        ];
        Machine {
            id: IDS.into_iter().find_map(first_line),
            serial: SERIALS
                .into_iter()
                .filter_map(first_line)
                .find(|serial| is_serial(serial)),
        }
    }

    /// Asks the system.
    #[cfg(target_os = "macos")]
    pub(super) fn read() -> Machine {
        let printed = std::process::Command::new("/usr/sbin/ioreg")
            .args(["-rd1", "-c", "IOPlatformExpertDevice"])
            .env_clear()
            .stdin(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .output();
        printed.map_or_else(
            |_| Machine::default(),
            |output| Machine::from_ioreg(&String::from_utf8_lossy(&output.stdout)),
        )
    }

    /// Reads what `ioreg -rd1 -c IOPlatformExpertDevice` prints: lines of `"name" = "value"`.
    #[cfg(any(target_os = "macos", test))]
    fn from_ioreg(printed: &str) -> Machine {
        let value = |name: &str| {
            printed.lines().find_map(|line| {
                let (key, value) = line.split_once(" = ")?;
                let is_it = key.trim().trim_matches('"') == name;
                is_it.then(|| value.trim().trim_matches('"').to_owned())
            })
        };
        Machine {
            id: value("IOPlatformUUID").filter(|id| !id.is_empty()),
            serial: value("IOPlatformSerialNumber").filter(|serial| is_serial(serial)),
        }
    }
}

/// The first line of a file, when it can be read and is not blank.
#[cfg(not(target_os = "macos"))]
fn first_line(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    // A device tree ends its texts in a zero.
    let line = text.lines().next()?.trim_matches(['\0', ' ', '\t']);
    (!line.is_empty()).then(|| line.to_owned())
}

/// Makers who give no number leave one of these, and a thousand machines would be one.
fn is_serial(text: &str) -> bool {
    const NONE: [&str; 9] = [
        "to be filled by o.e.m.",
        "default string",
        "system serial number",
        "not specified",
        "not applicable",
        "none",
        "n/a",
        "0123456789",
        "123456789",
    ];
    let text = text.to_ascii_lowercase();
    !NONE.contains(&text.as_str())
        && text
            .bytes()
            .any(|byte| byte.is_ascii_alphanumeric() && byte != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_of_a_mac_tells_id_and_serial_number() {
        let printed = r#"+-o J314sAP  <class IOPlatformExpertDevice, id 0x100000255, registered, matched>
    {
      "manufacturer" = <"Apple Inc.">
      "IOPlatformSerialNumber" = "FVFXC2ABCD12"
      "IOPlatformUUID" = "8F2C6A1E-0B7D-5A43-9C11-3D5E7F901234"
      "IOBusyInterest" = "IOCommand is not serializable"
    }
"#;
        let machine = Machine::from_ioreg(printed);
        assert_eq!(machine.serial.as_deref(), Some("FVFXC2ABCD12"));
        let id = machine.id.as_deref();
        assert_eq!(id, Some("8F2C6A1E-0B7D-5A43-9C11-3D5E7F901234"));
        assert_eq!(Machine::from_ioreg("ioreg: not found"), Machine::default());
    }

    #[test]
    fn what_a_maker_left_unfilled_is_no_serial_number() {
        for none in [
            "To Be Filled By O.E.M.",
            "Default string",
            "0",
            "0000-0000",
            "None",
            ".",
        ] {
            assert!(!is_serial(none), "{none}");
        }
        assert!(is_serial("PF2ABC3D") && is_serial("VMware-56 4d 1a"));
    }
}
