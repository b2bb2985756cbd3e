//! Who may hold how many connections: no account of the machine has all the places, so that one that keeps its
//! connections open, and has nothing to say or says it slowly, does not keep the others out.
//!
//! A connection beyond its account's share is closed at once; waiting, it would hold a place. Linux is asked who
//! it is before the connection is served. Elsewhere that takes too long, and there is only the limit on all.

use std::collections::HashMap;
use std::future::{Future, Ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::http::{Accepted, Limits, Listener};

use super::intake::Intake;
use super::owner::Connection;

/// The connections of one address, by the accounts that hold them.
pub(super) struct Places {
    limits: watch::Receiver<Limits>,
    intake: Intake,
    /// Whoever cannot be told shares one share with all others of whom that is so.
    taken: Mutex<HashMap<Option<u32>, usize>>,
}

/// A place of an account; it is free again when this is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    uid: Option<u32>,
}

impl Places {
    pub(super) fn new(limits: watch::Receiver<Limits>, intake: Intake) -> Arc<Places> {
        Arc::new(Places {
            limits,
            intake,
            taken: Mutex::default(),
        })
    }

    /// A place for a connection of the account `uid`, if it does not have its share.
    fn take(self: &Arc<Places>, uid: Option<u32>) -> Option<Place> {
        let connections = self.limits.borrow().connections;
        // A quarter is for others, where there is more than one place.
        let share = connections - connections / 4;
        let mut taken = self.taken();
        let held = taken.entry(uid).or_default();
        if *held >= share {
            return None;
        }
        *held += 1;
        Some(Place {
            places: Arc::clone(self),
            uid,
        })
    }

    async fn seat(self: &Arc<Places>, connection: &Connection) -> io::Result<()> {
        let uid = connection.uid().await;
        match self.take(uid) {
            Some(place) => {
                connection.keep(place);
                Ok(())
            }
            None => {
                if self.intake.crowded_out(uid) {
                    tracing::warn!(
                        uid,
                        "an account holds three quarters of listen.max_connections; \
                         more of its connections are closed, from now on silently"
                    );
                }
                Err(io::Error::other("its account has its share of connections"))
            }
        }
    }

    /// Every change is made in one call, so the counts are whole even after a panic.
    fn taken(&self) -> MutexGuard<'_, HashMap<Option<u32>, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(held) = taken.get_mut(&self.uid) {
            *held -= 1;
            if *held == 0 {
                taken.remove(&self.uid);
            }
        }
    }
}

/// Connections of another listener whose requests have their [`Connection`] among their extensions; those that
/// find a place.
pub(super) struct Seated<L> {
    inner: L,
    places: Arc<Places>,
}

impl<L> Seated<L> {
    pub(super) fn new(inner: L, places: Arc<Places>) -> Seated<L> {
        Seated { inner, places }
    }
}

impl<L> Listener for Seated<L>
where
    L: Listener<Stream = TcpStream, Peer = SocketAddr, Opening = Ready<io::Result<TcpStream>>>
        + Sync,
{
    type Stream = TcpStream;
    type Peer = SocketAddr;
    type Opening = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

    async fn accept(&self) -> io::Result<Accepted<Self::Opening, SocketAddr>> {
        let Accepted {
            opening,
            peer,
            extensions,
        } = self.inner.accept().await?;
        let connection: Option<Arc<Connection>> = extensions.get().cloned();
        let places = Arc::clone(&self.places);
        Ok(Accepted {
            opening: Box::pin(async move {
                let stream = opening.await?;
                if cfg!(target_os = "linux")
                    && let Some(connection) = connection
                {
                    places.seat(&connection).await?;
                }
                Ok(stream)
            }),
            peer,
            extensions,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_its_share_and_the_others_have_the_rest() {
        let (limits, changed) = watch::channel(Limits {
            connections: 8,
            ..Limits::default()
        });
        let places = Places::new(changed, Intake::default());
        let mut held: Vec<Place> = std::iter::from_fn(|| places.take(Some(1))).collect();
        assert_eq!(held.len(), 6);
        let others: Vec<Place> = std::iter::from_fn(|| places.take(None)).take(2).collect();
        assert_eq!(others.len(), 2);
        held.pop();
        held.push(places.take(Some(1)).expect("one is free again"));
        limits.send_modify(|limits| limits.connections = 12);
        held.extend(std::iter::from_fn(|| places.take(Some(1))));
        assert_eq!(held.len(), 9);
        drop((held, others));
        assert!(places.taken().is_empty());
        limits.send_modify(|limits| limits.connections = 1);
        assert!(places.take(Some(1)).is_some(), "one place is anybody's");
    }
}
