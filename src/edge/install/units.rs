//! The units, as they lie in `systemd/`.

/// For systemd-sysusers.
pub(super) const SYSUSERS: &str = include_str!("../../../systemd/fieldpost-edge.sysusers.conf");

/// Names and texts.
pub(super) const UNITS: [(&str, &str); 4] = [
    (
        "fieldpost-edge.socket",
        include_str!("../../../systemd/fieldpost-edge.socket"),
    ),
    (
        "fieldpost-edge.service",
        include_str!("../../../systemd/fieldpost-edge.service"),
    ),
    (
        "fieldpost-edge-token.path",
        include_str!("../../../systemd/fieldpost-edge-token.path"),
    ),
    (
        "fieldpost-edge-token.service",
        include_str!("../../../systemd/fieldpost-edge-token.service"),
    ),
];
