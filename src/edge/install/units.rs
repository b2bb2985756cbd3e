//! The units, as they lie in `systemd/`.

/// Holds the port.
pub(in crate::edge) const SOCKET: &str = "fieldpost-edge.socket";

/// Is the daemon.
pub(in crate::edge) const SERVICE: &str = "fieldpost-edge.service";

/// Watches for a new token.
pub(in crate::edge) const TOKEN_PATH: &str = "fieldpost-edge-token.path";

/// The central service's, of which a package may have installed the program.
pub(super) const CENTRAL: &str = "fieldpost-central.service";

/// Those of the machine's service that are started and enabled; the socket comes first, the service last.
pub(super) const STARTED: [&str; 3] = [SOCKET, TOKEN_PATH, SERVICE];

/// Those of one person's.
pub(super) const PERSONS_STARTED: [&str; 2] = [SOCKET, SERVICE];

/// For systemd-sysusers.
pub(super) const SYSUSERS: &str = include_str!("../../../systemd/fieldpost-edge.sysusers.conf");

/// The service of one person; the socket is the machine's.
pub(super) const PERSONS_UNIT: (&str, &str) = (
    SERVICE,
    include_str!("../../../systemd/user/fieldpost-edge.service"),
);

/// Names and texts; the socket comes first.
pub(super) const UNITS: [(&str, &str); 4] = [
    (
        SOCKET,
        include_str!("../../../systemd/fieldpost-edge.socket"),
    ),
    (
        SERVICE,
        include_str!("../../../systemd/fieldpost-edge.service"),
    ),
    (
        TOKEN_PATH,
        include_str!("../../../systemd/fieldpost-edge-token.path"),
    ),
    (
        "fieldpost-edge-token.service",
        include_str!("../../../systemd/fieldpost-edge-token.service"),
    ),
];
