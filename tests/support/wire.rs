//! Requests captured from a real Claude Code (`tests/fixtures/wire`), sent again byte for byte.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use fieldpost::otlp::{ExportLogsServiceRequest, Request, Signal};
use flate2::read::GzDecoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Every captured request, in the order of their names.
pub(crate) fn all() -> Vec<Capture> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wire");
    let mut heads: Vec<PathBuf> = fs::read_dir(root)
        .expect("the fixtures are there")
        .flat_map(|folder| fs::read_dir(folder.expect("a folder").path()).expect("a folder"))
        .map(|file| file.expect("a file").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "http")
        })
        .collect();
    heads.sort();
    assert!(heads.len() >= 18, "all fixtures are there");
    heads.into_iter().map(Capture::read).collect()
}

/// The captured requests of one folder.
pub(crate) fn folder(name: &str) -> Vec<Capture> {
    let captures: Vec<Capture> = all()
        .into_iter()
        .filter(|capture| capture.folder == name)
        .collect();
    assert!(!captures.is_empty(), "there is a fixture {name}");
    captures
}

/// One captured request.
#[derive(Clone, Debug)]
pub(crate) struct Capture {
    pub(crate) folder: String,
    /// Request line and headers, as captured.
    head: String,
    /// Body, as captured.
    pub(crate) body: Vec<u8>,
}

impl Capture {
    fn read(head_file: PathBuf) -> Capture {
        let head = fs::read_to_string(&head_file).expect("a head is text");
        let folder = head_file
            .parent()
            .and_then(Path::file_name)
            .expect("a folder");
        let body = ["json", "json.gz", "binpb.gz"]
            .iter()
            .find_map(|extension| fs::read(head_file.with_extension(extension)).ok())
            .expect("a body beside each head");
        // Made-up secrets lie gzipped in the repository; on the wire they did not.
        let gzipped_here = body.starts_with(b"\x1f\x8b") && !head.contains("Content-Encoding");
        Capture {
            folder: folder.to_string_lossy().into_owned(),
            head,
            body: if gzipped_here { inflate(&body) } else { body },
        }
    }

    /// The path it was posted to.
    pub(crate) fn path(&self) -> &str {
        self.head
            .split_whitespace()
            .nth(1)
            .expect("a request line has a path")
    }

    pub(crate) fn signal(&self) -> Signal {
        Signal::ALL
            .into_iter()
            .find(|signal| self.path().ends_with(signal.word()))
            .expect("captures name their signal")
    }

    /// The request decoded by the library's own strict reader, for comparison.
    pub(crate) fn logs(&self) -> ExportLogsServiceRequest {
        if self.head.contains("application/json") {
            return serde_json::from_slice(&self.body).expect("captured JSON is well-formed");
        }
        let bytes = match self.head.contains("gzip") {
            true => inflate(&self.body),
            false => self.body.clone(),
        };
        match Request::decode_protobuf(Signal::Logs, &bytes)
            .expect("captured protobuf is well-formed")
        {
            Request::Logs(logs) => logs,
            other => panic!("these are no logs: {other:?}"),
        }
    }

    /// Records in it.
    pub(crate) fn records(&self) -> usize {
        Request::Logs(self.logs()).record_count()
    }

    /// Sends it to `address` with its own headers, chunked as it was; `path` and `authorization`
    /// replace the captured ones.
    pub(crate) async fn send(&self, address: &str, path: &str, authorization: &str) -> RawAnswer {
        let mut head = format!("POST {path} HTTP/1.1\r\nAuthorization: {authorization}\r\n");
        for line in self
            .head
            .lines()
            .skip(1)
            .filter(|line| !line.trim().is_empty())
        {
            let name = line.split(':').next().unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "authorization" => {}
                // One request a connection, so that the answer ends where the connection does.
                "connection" => head.push_str("Connection: close\r\n"),
                _ => head.push_str(&format!("{line}\r\n")),
            }
        }
        head.push_str("\r\n");
        let mut stream = TcpStream::connect(address)
            .await
            .expect("the server listens");
        stream
            .write_all(head.as_bytes())
            .await
            .expect("the head is taken");
        let mut rest = Vec::new();
        for chunk in self.body.chunks(1_000) {
            rest.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            rest.extend_from_slice(chunk);
            rest.extend_from_slice(b"\r\n");
        }
        rest.extend_from_slice(b"0\r\n\r\n");
        // A server may answer and close before it has read a body that it does not want.
        let _ = stream.write_all(&rest).await;
        RawAnswer::read(stream).await
    }
}

/// An answer as it came over the connection.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl RawAnswer {
    async fn read(mut stream: TcpStream) -> RawAnswer {
        let mut bytes = Vec::new();
        stream
            .read_to_end(&mut bytes)
            .await
            .expect("the server answers");
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&bytes)));
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head
            .split_whitespace()
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("no status in {head}"));
        RawAnswer {
            status,
            head,
            body: bytes[end + 4..].to_vec(),
        }
    }
}

/// Sends any bytes and reads the answer, for requests that no client would make.
pub(crate) async fn send_raw(address: &str, request: &[u8]) -> RawAnswer {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    stream
        .write_all(request)
        .await
        .expect("the request is taken");
    RawAnswer::read(stream).await
}

fn inflate(bytes: &[u8]) -> Vec<u8> {
    let mut inflated = Vec::new();
    GzDecoder::new(bytes)
        .read_to_end(&mut inflated)
        .expect("the fixture is gzip");
    inflated
}
