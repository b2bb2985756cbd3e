//! One request to the upstream, and what came back. Judging it is `verdict`'s part.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER};

use crate::otlp::compression::Coding;
use crate::otlp::reply::{PartialSuccess, read_error, read_partial_success};
use crate::otlp::route::sibling_endpoint;
use crate::otlp::{Encoding, Signal};

use super::config;
use super::token::{Header, Token};
use super::verdict::Outcome;

/// Time for a connection to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest part of an answer that is read.
const MAX_ANSWER: usize = 64 << 10;

/// The upstream, and how it is reached.
pub(super) struct Upstream {
    client: reqwest::Client,
    endpoint: String,
    compression: Coding,
    pub(super) token: Token,
}

/// What came back from one request.
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    /// The upstream's words, or the transport's, for the log and for the parked list.
    pub(super) reason: String,
    /// What the upstream did not store of a request that it accepted.
    pub(super) partial: Option<PartialSuccess>,
}

impl Upstream {
    pub(super) fn new(config: &config::Upstream) -> anyhow::Result<Upstream> {
        let mut builder = crate::http::client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(config.timeout)
            // A redirect is a mistake in the configuration, and a token must not follow it.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("fieldpost-edge/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&config.endpoint) {
            builder = builder.no_proxy();
        }
        Ok(Upstream {
            client: builder.build().context("cannot set up the way upstream")?,
            endpoint: config.endpoint.clone(),
            compression: config.compression,
            token: Token::new(config.token_file.as_deref())?,
        })
    }

    /// Posts `frames`, the zstd frames of OTLP protobuf, and reads the answer. `None` when there
    /// should be a token and is none.
    pub(super) async fn post(&self, signal: Signal, frames: Bytes) -> Option<Answer> {
        let mut request = self
            .client
            .post(sibling_endpoint(&self.endpoint, signal))
            .header(CONTENT_TYPE, Encoding::Protobuf.content_type());
        match self.token.header() {
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
        let body = match self.recode(frames) {
            Ok(body) => body,
            Err(error) => return Some(Answer::none(format!("cannot compress the batch: {error}"))),
        };
        Some(match request.body(body).send().await {
            Ok(response) => read_answer(signal, response).await,
            Err(error) => Answer::none(words(&error)),
        })
    }

    /// The body as the upstream wants it: what lies in the queue is zstd already.
    fn recode(&self, frames: Bytes) -> std::io::Result<Bytes> {
        if self.compression == Coding::Zstd {
            return Ok(frames);
        }
        let message = zstd::stream::decode_all(frames.as_ref())?;
        self.compression.compress(&message).map(Bytes::from)
    }
}

impl Answer {
    fn none(reason: String) -> Answer {
        Answer {
            outcome: Outcome::NoAnswer,
            reason,
            partial: None,
        }
    }
}

async fn read_answer(signal: Signal, mut response: reqwest::Response) -> Answer {
    let status = response.status().as_u16();
    let header = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let retry_after = header(RETRY_AFTER);
    let encoding = header(CONTENT_TYPE).and_then(|text| Encoding::of_content_type(&text));
    let mut body = Vec::new();
    while body.len() < MAX_ANSWER {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            // The status has come: it says whether the records were taken. The rest is only words.
            Err(_) => break,
        }
    }
    body.truncate(MAX_ANSWER);
    let is_success = (200..300).contains(&status);
    Answer {
        outcome: Outcome::Answer {
            status,
            retry_after,
        },
        reason: match is_success {
            true => String::new(),
            false => format!("{status}: {}", read_error(encoding, &body)),
        },
        partial: is_success
            .then(|| read_partial_success(signal, encoding.unwrap_or(Encoding::Protobuf), &body))
            .flatten(),
    }
}

/// An error with its causes, and without the address, which stands in the configuration.
fn words(error: &reqwest::Error) -> String {
    let mut words = String::from("no answer");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        words.push_str(&format!(": {error}"));
        cause = error.source();
    }
    if error.is_timeout() {
        words.push_str(" (timeout)");
    }
    words
}

fn is_loopback(endpoint: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(endpoint) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
