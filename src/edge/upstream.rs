//! One request to the upstream, and what came back. Judging it is `verdict`'s part.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use bytes::Bytes;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderValue, RETRY_AFTER,
};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::event::Timestamp;
use crate::logging::clean;
use crate::otlp::compression::Coding;
use crate::otlp::reply::{PartialSuccess, read_error, read_partial_success};
use crate::otlp::route::sibling_endpoint;
use crate::otlp::{Encoding, Signal};
use crate::secret;

use super::config::{self, ClientCertificate};
use super::link::Link;
use super::queue::BatchLimits;
use super::token::{Header, Token};
use super::verdict::Outcome;

/// Time for a connection to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest part of an answer that is read.
const MAX_ANSWER: usize = 64 << 10;

/// The upstream, and how it is reached.
pub(super) struct Upstream {
    client: reqwest::Client,
    way: Way,
    endpoint: String,
    compression: Coding,
    pub(super) token: Token,
    /// Where batches are cut.
    pub(super) batch: BatchLimits,
    /// Longest wait between two tries.
    pub(super) longest_wait: Duration,
}

/// What a client is made of.
struct Way {
    config: config::Upstream,
    authorities: Vec<reqwest::Certificate>,
    identity: Option<reqwest::Identity>,
}

/// One request, but for its body.
pub(super) struct Post {
    request: reqwest::RequestBuilder,
    signal: Signal,
    compression: Coding,
}

/// What came back from an empty export, for whoever wants to know whether the way is open.
pub(super) struct Probe {
    pub(super) status: u16,
    /// The upstream's words, when it did not take the request.
    pub(super) reason: String,
    /// What time the upstream says it is.
    pub(super) date: Option<SystemTime>,
}

/// What came back from one request.
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    /// The upstream's words, or the transport's, for the log and for the parked list.
    pub(super) reason: String,
    /// What the upstream did not store of a request that it accepted.
    pub(super) partial: Option<PartialSuccess>,
    /// Length of the body that was sent.
    pub(super) sent_bytes: usize,
    /// Seconds by which this machine's clock is ahead of the upstream's, when the answer says the time.
    pub(super) clock_offset: Option<i64>,
}

impl Upstream {
    /// Reads the certificates that `config` names. `link` is told of the token.
    ///
    /// # Errors
    /// When one cannot be used.
    pub(super) fn new(config: &config::Upstream, link: &Link) -> anyhow::Result<Upstream> {
        let way = Way::of(config)?;
        Ok(Upstream {
            client: way.client()?,
            way,
            endpoint: config.endpoint.clone(),
            compression: config.compression,
            token: Token::new(&config.token, link.clone()),
            batch: config.batch,
            longest_wait: config.max_retry_wait,
        })
    }

    /// Leaves the connections that are open; the next request makes one.
    pub(super) fn connect_anew(&mut self) {
        match self.way.client() {
            Ok(client) => self.client = client,
            Err(error) => tracing::warn!("the connections of before are used on: {error:#}"),
        }
    }

    /// A request that has its token, and waits for its body. `None` when there should be a token and
    /// is none.
    pub(super) async fn prepare(&mut self, signal: Signal) -> Option<Post> {
        let mut request = self
            .client
            .post(sibling_endpoint(&self.endpoint, signal))
            .header(CONTENT_TYPE, Encoding::Protobuf.content_type());
        match self.token.header().await {
            Header::None => {}
            Header::Missing => return None,
            Header::Bearer(bearer) => match HeaderValue::from_str(bearer.expose()) {
                Ok(mut value) => {
                    value.set_sensitive(true);
                    request = request.header(AUTHORIZATION, value);
                }
                Err(_) => {
                    tracing::warn!("the token holds characters that no header can carry");
                    return None;
                }
            },
        }
        if let Some(coding) = self.compression.header() {
            request = request.header(CONTENT_ENCODING, coding);
        }
        Some(Post {
            request,
            signal,
            compression: self.compression,
        })
    }
}

impl Way {
    /// The way that `config` says, with the certificates that it names.
    fn of(config: &config::Upstream) -> anyhow::Result<Way> {
        let authorities = config.ca_file.as_deref().map(authorities).transpose()?;
        let identity = config.client_certificate.as_ref().map(identity);
        Ok(Way {
            config: config.clone(),
            authorities: authorities.unwrap_or_default(),
            identity: identity.transpose()?,
        })
    }

    /// A client without a connection.
    fn client(&self) -> anyhow::Result<reqwest::Client> {
        let mut builder = way(&self.config)?;
        if !self.authorities.is_empty() {
            builder = builder.tls_certs_merge(self.authorities.clone());
        }
        if let Some(identity) = &self.identity {
            builder = builder.identity(identity.clone());
        }
        builder.build().context("cannot set up the way upstream")
    }
}

impl Upstream {
    /// Sends an export of no records.
    ///
    /// # Errors
    /// Why there was no answer, or no token to send.
    pub(super) async fn probe(&mut self) -> Result<Probe, String> {
        let post = self.prepare(Signal::Logs).await;
        let post = post.ok_or("there is no token to send; E05 says why")?;
        let empty = self.compression.compress(&[]);
        let empty = empty.map_err(|error| error.to_string())?;
        let sent = post.request.body(empty).send().await;
        let response = sent.map_err(|error| words(&error))?;
        let status = response.status().as_u16();
        let date = date(&response);
        let answer = read_answer(Signal::Logs, response).await;
        Ok(Probe {
            status,
            reason: answer.reason,
            date,
        })
    }
}

impl Post {
    /// Sends `frames`, the zstd frames of OTLP protobuf, and reads the answer.
    pub(super) async fn send(self, frames: Bytes) -> Answer {
        let body = match self.compression {
            // What lies in the queue is zstd already.
            Coding::Zstd => Ok(frames),
            coding => tokio::task::spawn_blocking(move || recode(&frames, coding))
                .await
                .unwrap_or_else(|error| Err(std::io::Error::other(error))),
        };
        let body = match body {
            Ok(body) => body,
            Err(error) => return Answer::none(format!("cannot compress the batch: {error}")),
        };
        let sent_bytes = body.len();
        let answer = match self.request.body(body).send().await {
            Ok(response) => read_answer(self.signal, response).await,
            Err(error) => Answer::none(words(&error)),
        };
        Answer {
            sent_bytes,
            ..answer
        }
    }
}

/// Whether anybody who can be trusted answers at the upstream's address. Nothing of what the edge has is shown for it.
///
/// # Errors
/// Why not.
pub(super) async fn knock(config: &config::Upstream) -> Result<(), String> {
    let client = Way::of(config).and_then(|way| way.client());
    let client = client.map_err(|error| format!("{error:#}"))?;
    let front = front(config).ok_or("upstream.endpoint is no address")?;
    let answer = client.head(front).send().await;
    answer.map(drop).map_err(|error| words(&error))
}

/// Who has signed the certificate that is shown at the upstream's address, as its name is written
/// (RFC 4514); `None` without TLS, or when nobody answers. Nobody vouches for who that is: it gets
/// neither token nor records, nor the endpoint's path.
pub(super) async fn signer(config: &config::Upstream) -> Option<String> {
    let builder = way(config).ok()?.tls_info(true);
    let client = builder.tls_danger_accept_invalid_certs(true).build().ok()?;
    let answer = client.head(front(config)?).send().await.ok()?;
    let info: &reqwest::tls::TlsInfo = answer.extensions().get()?;
    let certificate = Certificate::from_der(info.peer_certificate()?).ok()?;
    Some(clean(&certificate.tbs_certificate.issuer.to_string()))
}

/// The upstream's address without anything that is not for everybody to know.
fn front(config: &config::Upstream) -> Option<reqwest::Url> {
    let mut address = reqwest::Url::parse(&config.shown_endpoint()).ok()?;
    address.set_path("/");
    address.set_query(None);
    Some(address)
}

/// A client that takes the way that `config` says, with its time limits, and nobody's certificates yet.
fn way(config: &config::Upstream) -> anyhow::Result<reqwest::ClientBuilder> {
    let builder = crate::http::client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(config.timeout)
        // A redirect is a mistake in the configuration, and a token must not follow it.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("fieldpost-edge/", env!("CARGO_PKG_VERSION")));
    if is_loopback(&config.endpoint) {
        return Ok(builder.no_proxy());
    }
    let Some(url) = &config.proxy else {
        return Ok(builder);
    };
    let proxy = reqwest::Proxy::all(url.expose()).context("cannot use upstream.proxy")?;
    Ok(builder.proxy(proxy.no_proxy(reqwest::NoProxy::from_env())))
}

/// The message within zstd frames, as the upstream wants it.
fn recode(frames: &[u8], coding: Coding) -> std::io::Result<Bytes> {
    let message = zstd::stream::decode_all(frames)?;
    coding.compress(&message).map(Bytes::from)
}

fn authorities(file: &Path) -> anyhow::Result<Vec<reqwest::Certificate>> {
    let pem = std::fs::read(file)
        .with_context(|| format!("cannot read upstream.ca_file {}", file.display()))?;
    let certificates = reqwest::Certificate::from_pem_bundle(&pem)
        .with_context(|| format!("upstream.ca_file {} cannot be used", file.display()))?;
    anyhow::ensure!(
        !certificates.is_empty(),
        "upstream.ca_file {} holds no certificate in PEM",
        file.display()
    );
    Ok(certificates)
}

fn identity(files: &ClientCertificate) -> anyhow::Result<reqwest::Identity> {
    let certificate = std::fs::read_to_string(&files.certificate).with_context(|| {
        let file = files.certificate.display();
        format!("cannot read upstream.client_cert {file}")
    })?;
    let key = secret::read_file(&files.key).context("cannot use upstream.client_key")?;
    let both = format!("{certificate}\n{}\n", key.expose());
    reqwest::Identity::from_pem(both.as_bytes())
        .context("upstream.client_cert and upstream.client_key do not make an identity")
}

impl Answer {
    fn none(reason: String) -> Answer {
        Answer {
            outcome: Outcome::NoAnswer,
            reason,
            partial: None,
            sent_bytes: 0,
            clock_offset: None,
        }
    }
}

/// What time the upstream says it is (RFC 9110, section 6.6.1).
fn date(response: &reqwest::Response) -> Option<SystemTime> {
    let date = response.headers().get(DATE)?.to_str().ok()?;
    let date = jiff::fmt::rfc2822::parse(date).ok()?;
    let seconds = u64::try_from(date.timestamp().as_second()).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

async fn read_answer(signal: Signal, mut response: reqwest::Response) -> Answer {
    let status = response.status().as_u16();
    let is_success = (200..300).contains(&status);
    let header = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let retry_after = header(RETRY_AFTER);
    let encoding = header(CONTENT_TYPE).and_then(|text| Encoding::of_content_type(&text));
    let clock_offset = date(&response)
        .map(|date| (Timestamp::now().0 - Timestamp::from(date).0).div_euclid(1_000_000_000));
    let mut body = Vec::new();
    while body.len() < MAX_ANSWER {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            // What broke off may have said that some records were not stored.
            Err(error) if is_success => {
                return Answer::none(format!("the answer broke off: {}", words(&error)));
            }
            // The status has come, and says what to do. The rest is only words.
            Err(_) => break,
        }
    }
    body.truncate(MAX_ANSWER);
    Answer {
        outcome: Outcome::Answer {
            status,
            retry_after,
        },
        reason: match is_success {
            true => String::new(),
            // It may quote what it was sent, and goes into the log, the status and the parked list.
            false => clean(&format!("{status}: {}", read_error(encoding, &body))),
        },
        partial: is_success
            .then(|| read_partial_success(signal, encoding.unwrap_or(Encoding::Protobuf), &body))
            .flatten()
            .map(|partial| PartialSuccess {
                message: clean(&partial.message),
                ..partial
            }),
        sent_bytes: 0,
        clock_offset,
    }
}

/// An error with its causes, and without the address, which stands in the configuration.
pub(super) fn words(error: &reqwest::Error) -> String {
    let mut words = String::from("no answer");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        words.push_str(&format!(": {error}"));
        cause = error.source();
    }
    if error.is_timeout() {
        words.push_str(" (timeout)");
    }
    if words.contains("invalid peer certificate: UnknownIssuer") {
        words.push_str(
            " (this machine does not trust who signed the upstream's certificate; \
             if you do, name their certificate in upstream.ca_file)",
        );
    }
    if words.contains("invalid peer certificate: certificate not valid for name") {
        words.push_str(
            " (the upstream shows a certificate for another name: upstream.endpoint is wrong, \
             or something answers in its place)",
        );
    }
    if words.contains("invalid peer certificate: certificate expired") {
        words.push_str(
            " (the upstream's certificate has expired, or this machine's clock is wrong)",
        );
    }
    words
}

/// Whether a URL names this machine by its loopback.
pub(super) fn is_loopback(endpoint: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(endpoint) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
