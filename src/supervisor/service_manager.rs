//! Windows' service manager, which starts the daemon by the command that a person would type, `fieldpost edge run`, and
//! then asks it to stop.

use std::thread::JoinHandle;

use tokio::sync::oneshot;
use windows_services::{Command, Service};

/// The service manager, if this process was started by it.
pub struct ServiceManager {
    asks_to_stop: Option<oneshot::Receiver<()>>,
    has_stopped: oneshot::Sender<()>,
    listening: JoinHandle<()>,
}

impl ServiceManager {
    /// Hears what it asks from now on. It waits for half a minute only until somebody does.
    pub fn listen() -> ServiceManager {
        let (ask, asks_to_stop) = oneshot::channel();
        let (has_stopped, stopped) = oneshot::channel::<()>();
        let mut both = Some((ask, stopped));
        let obey = move |_: &Service<'_>, command| {
            if command == Command::Stop
                && let Some((ask, stopped)) = both.take()
            {
                let _ = ask.send(());
                // When this comes back, it takes the service for stopped.
                let _ = stopped.blocking_recv();
            }
        };
        let listening = std::thread::spawn(move || {
            if Service::new().can_stop().run(obey).is_err() {
                tracing::debug!("started by no service manager");
            }
        });
        ServiceManager {
            asks_to_stop: Some(asks_to_stop),
            has_stopped,
            listening,
        }
    }

    /// Ends when it asks the service to stop; never where there is no service manager.
    pub fn asks_to_stop(&mut self) -> impl Future<Output = ()> + Send + use<> {
        let asks = self.asks_to_stop.take();
        async move {
            let is_asked = match asks {
                Some(asks) => asks.await.is_ok(),
                None => false,
            };
            if !is_asked {
                std::future::pending().await
            }
        }
    }

    /// Tells it that the service has stopped, as it asked it to.
    pub fn stopped(self) {
        let _ = self.has_stopped.send(());
        let _ = self.listening.join();
    }
}
