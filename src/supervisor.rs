//! What supervises the daemons. systemd hands over the sockets that they listen on, so that clients
//! find them open while a daemon restarts (sd_listen_fds(3)), and is told how it goes (sd_notify(3)).
//! launchd hands sockets over as well (launch_activate_socket(3)). Windows' service manager hands nothing
//! over, and asks for the end in a way of its own. Under anything else nothing is handed over, and telling
//! does nothing.

#[cfg(windows)]
mod service_manager;

use std::net::TcpListener;
use std::time::Duration;

use anyhow::Context;
use listenfd::ListenFd;

#[cfg(windows)]
pub use self::service_manager::ServiceManager;

/// How often the supervisor hears from a daemon, unless its watchdog wants to more often.
const INTERVAL: Duration = Duration::from_secs(60);

/// The sockets that were handed over, none where nobody did. Call it once, before any thread is
/// started: it takes the variables out of the environment.
///
/// # Errors
/// When what was handed over is no listening TCP socket.
pub fn listeners() -> anyhow::Result<Vec<TcpListener>> {
    let mut handed = ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..handed.len() {
        let listener = handed.take_tcp_listener(index);
        let listener = listener.context("the supervisor handed over what is no TCP socket")?;
        listeners.extend(listener);
    }
    #[cfg(target_os = "macos")]
    listeners.extend(launchd::listeners());
    Ok(listeners)
}

#[cfg(target_os = "macos")]
mod launchd {
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;

    use service_binding::{Binding, Listener};

    /// The keys under `Sockets` in `launchd/dev.fieldpost.edge.plist`.
    const SOCKETS: [&str; 2] = ["otlp4", "otlp6"];

    /// Those that launchd has; none for a process that it has not started.
    pub(super) fn listeners() -> Vec<TcpListener> {
        SOCKETS.into_iter().filter_map(take).collect()
    }

    /// The library takes every such socket for a Unix one; it is what launchd was told to open.
    fn take(name: &str) -> Option<TcpListener> {
        let binding: Binding = format!("fd://{name}").parse().ok()?;
        match Listener::try_from(binding).ok()? {
            Listener::Unix(socket) => Some(TcpListener::from(OwnedFd::from(socket))),
            _ => None,
        }
    }
}

/// What a supervisor can be told.
#[derive(Clone, Debug)]
pub enum News {
    /// Requests are taken from now on, or again.
    Ready,
    /// The configuration is read again; [`News::Ready`] says that this is over.
    Reloading,
    /// No further requests are taken.
    Stopping,
    /// The daemon's work goes on. Say it only when it was seen to: this feeds the watchdog.
    Progress,
    /// How the daemon is, in one line for people.
    Words(String),
}

/// How often to tell of progress; `None` where nobody listens.
pub fn interval() -> Option<Duration> {
    std::env::var_os("NOTIFY_SOCKET").map(|_| within(watchdog()))
}

fn within(watchdog: Option<Duration>) -> Duration {
    watchdog.map_or(INTERVAL, |limit| INTERVAL.min(limit / 2))
}

/// Tells the supervisor, if there is one.
#[cfg(target_os = "linux")]
pub fn tell(news: News) {
    use sd_notify::NotifyState;
    let told = match &news {
        News::Ready => sd_notify::notify(&[NotifyState::Ready]),
        News::Reloading => NotifyState::monotonic_usec_now()
            .and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now])),
        News::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
        News::Progress => sd_notify::notify(&[NotifyState::Watchdog]),
        News::Words(words) => sd_notify::notify(&[NotifyState::Status(words)]),
    };
    if let Err(error) = told {
        tracing::warn!(%error, "the supervisor cannot be told how it goes");
    }
}

/// Tells nobody: there is no such supervisor on this system.
#[cfg(not(target_os = "linux"))]
pub fn tell(_news: News) {}

#[cfg(target_os = "linux")]
fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

#[cfg(not(target_os = "linux"))]
fn watchdog() -> Option<Duration> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_fed_twice_as_often_as_it_asks_and_wakes_no_machine_for_it() {
        assert_eq!(within(None), INTERVAL);
        assert_eq!(within(Some(Duration::from_secs(150))), INTERVAL);
        assert_eq!(within(Some(Duration::from_secs(4))), Duration::from_secs(2));
    }
}
