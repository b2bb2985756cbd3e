//! The control socket: how commands reach the running edge.
//!
//! A unix socket, or on Windows a named pipe, that speaks HTTP and answers in JSON. Who is at the other end, the system says
//! (peer credentials). Everybody who can connect may ask how the edge is; what shows records, or
//! changes anything, is for root, for the edge's own account, and for a group that is configured.
//!
//! | request                          | for       |                                             |
//! |----------------------------------|-----------|---------------------------------------------|
//! | `GET /status`                    | everybody | [`Status`](super::status::Status)           |
//! | `GET /queue/segments`            | everybody | what the queue's segments hold              |
//! | `POST /queue/segments/{n}/check` | operators | reads one whole                             |
//! | `POST /flush`                    | operators | tries the upstream at once                  |
//! | `GET /origins`                   | operators | who sends what, and when last               |
//! | `GET /tail?event=`               | operators | records from now on, one JSON object a line |
//! | `GET /parked`, `/parked/{id}`    | operators | what the upstream refused                   |
//! | `POST /parked/{id}/send`         | operators | sends it again                              |
//! | `DELETE /parked/{id}`            | operators | forgets it                                  |

pub mod client;
#[cfg(unix)]
mod socket;
#[cfg(windows)]
#[path = "control/pipe.rs"]
mod socket;
mod access;
mod routes;

use std::sync::Arc;
use std::time::Duration;

use crate::http::{Limits, serve};
use crate::shutdown::Shutdown;

use super::config;
use super::inside::Inside;
use super::pipeline::Pipeline;

use access::Operators;
use routes::Control;
use socket::Socket;

/// Time that requests under way get once the edge stops.
const DRAIN: Duration = Duration::from_secs(1);

/// Connections open at once.
const MAX_CONNECTIONS: usize = 64;

/// Answers on the socket until `shutdown`. Without the socket the edge does its work all the same,
/// and the log says why there is none.
pub(super) async fn run(
    config: config::Control,
    inside: Arc<Inside>,
    pipeline: Arc<Pipeline>,
    shutdown: Shutdown,
) {
    let socket = match Socket::bind(&config.socket) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(
                "`fieldpost edge status` and its like will not work: {error:#}; \
                 another place can be named with control.socket"
            );
            return;
        }
    };
    let limits = Limits {
        connections: MAX_CONNECTIONS,
        drain: DRAIN,
        ..Limits::default()
    };
    let control = Control {
        inside,
        pipeline,
        operators: Operators::new(config.group),
        shutdown: shutdown.clone(),
    };
    serve(socket, routes::router(control), limits, shutdown).await;
}
