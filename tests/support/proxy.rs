//! An HTTP proxy that leads every CONNECT to one address, wherever it was meant to go.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The proxy; it ends when the value is dropped.
pub(crate) struct Proxy {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Proxy {
    /// Starts on a free port.
    pub(crate) async fn start(target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("connections come");
                let heard = Arc::clone(&heard);
                tokio::spawn(async move {
                    // A client may go away whenever it likes.
                    let _ = tunnel(stream, target, &heard).await;
                });
            }
        });
        Proxy {
            url: format!("http://{address}"),
            asked,
            server,
        }
    }

    /// The heads of all requests to the proxy.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no task panics").clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn tunnel(
    mut client: TcpStream,
    target: SocketAddr,
    heard: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let is_connect = head.starts_with("CONNECT ");
    heard.lock().expect("no task panics").push(head);
    if !is_connect {
        return client
            .write_all(b"HTTP/1.1 501 Not Implemented\r\nconnection: close\r\n\r\n")
            .await;
    }
    let mut server = TcpStream::connect(target).await?;
    client
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
