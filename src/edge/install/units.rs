//! The units, as they lie in `systemd/`.

/// For systemd-sysusers.
pub(super) const SYSUSERS: &str = include_str!("../../../systemd/fieldpost-edge.sysusers.conf");

/// The service of one person; the socket is the machine's.
pub(super) const PERSONS_UNIT: (&str, &str) = (
    "fieldpost-edge.service",
    include_str!("../../../systemd/user/fieldpost-edge.service"),
);

/// Names and texts; the socket comes first.
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
