//! Somebody who is signed in to the portal: reads pages and sends forms as a browser does, and lends the
//! session to a real one.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use reqwest::header::{COOKIE, HOST, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A session in the portal.
#[derive(Clone)]
pub(crate) struct Browser {
    client: Client,
    /// The service's address, without a slash at its end.
    pub(crate) url: String,
    /// `name=value`, for the header `Cookie`.
    pub(crate) cookie: String,
}

/// An answer, read whole.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Browser {
    /// Uses a one-time link up.
    pub(crate) async fn enter(link: &str) -> Browser {
        let url = link.split("/sign-in/").next().expect("a link").to_owned();
        let client = plain_client();
        let entered = client
            .post(link)
            .header("sec-fetch-site", "same-origin")
            .send()
            .await
            .expect("the portal answers");
        assert_eq!(entered.status(), StatusCode::SEE_OTHER, "the link is good");
        let cookie = cookie_of(entered.headers()).expect("a session");
        Browser {
            client,
            url,
            cookie,
        }
    }

    /// The session that this cookie holds, at the service's address.
    pub(crate) fn with_session(url: &str, cookie: &str) -> Browser {
        Browser {
            client: plain_client(),
            url: url.to_owned(),
            cookie: cookie.to_owned(),
        }
    }

    /// The same service with another session's cookie.
    pub(crate) fn with_cookie(&self, cookie: String) -> Browser {
        Browser {
            cookie,
            ..self.clone()
        }
    }

    /// A request with the session.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.url))
            .header(COOKIE, &self.cookie)
            .header("sec-fetch-site", "same-origin")
    }

    /// A page, without following where it leads.
    pub(crate) async fn get(&self, path: &str) -> Page {
        Page::read(self.request(Method::GET, path)).await
    }

    /// Sends a form with the session's token.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let token = self.form_token().await;
        let form = fields
            .iter()
            .copied()
            .chain([("csrf", token.as_str())])
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect::<Vec<_>>()
            .join("&");
        let request = self
            .request(Method::POST, path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        Page::read(request).await
    }

    /// What the forms of this session carry, as any page of it shows.
    pub(crate) async fn form_token(&self) -> String {
        let home = self.get("/").await;
        let first = home.headers.get("location").expect("an environment");
        let page = self.get(first.to_str().expect("an address")).await;
        let (_, after) = page
            .body
            .split_once("name=\"csrf\" value=\"")
            .expect("a form");
        after.split('"').next().expect("a value").to_owned()
    }

    /// An address that shows the portal with this session to a browser that has no cookie, as long as the
    /// result lives. Forms get the session's token, too.
    pub(crate) async fn lend(&self) -> Lent {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let browser = self.clone();
        let router = Router::new().fallback(move |request: Request| {
            let browser = browser.clone();
            async move { browser.pass_on(request).await }
        });
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Lent { address, server }
    }

    async fn pass_on(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 64 << 20).await.expect("a body");
        let is_form = parts.headers.get("content-type").is_some_and(|kind| {
            kind.as_bytes()
                .starts_with(b"application/x-www-form-urlencoded")
        });
        let mut body = body.to_vec();
        if is_form && !body.windows(5).any(|part| part == b"csrf=") {
            body.extend(format!("&csrf={}", self.form_token().await).bytes());
        }
        let path = parts.uri.path_and_query().map_or("/", |it| it.as_str());
        let mut headers = parts.headers;
        headers.remove(HOST);
        headers.remove("content-length");
        headers.remove("origin");
        let own = headers.get(COOKIE).and_then(|own| own.to_str().ok());
        let cookies = [Some(self.cookie.as_str()), own].into_iter().flatten();
        let cookies = cookies.collect::<Vec<_>>().join("; ");
        headers.insert(COOKIE, cookies.parse().expect("cookies"));
        let answer = self
            .client
            .request(parts.method, format!("{}{path}", self.url))
            .headers(headers)
            .body(body)
            .send()
            .await
            .expect("the portal answers");
        let mut response = Response::new(Body::empty());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        response.headers_mut().remove("transfer-encoding");
        *response.body_mut() = Body::from(answer.bytes().await.expect("a body"));
        response
    }
}

/// A session at an address of its own.
pub(crate) struct Lent {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Lent {
    /// Host and port.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// The address, with a slash at its end.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Page {
    /// Sends a request and reads its answer.
    pub(crate) async fn read(request: RequestBuilder) -> Page {
        let answer = request.send().await.expect("the portal answers");
        Page {
            status: answer.status(),
            headers: answer.headers().clone(),
            body: answer.text().await.expect("pages are UTF-8"),
        }
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

/// A client that follows nothing.
pub(crate) fn plain_client() -> Client {
    fieldpost::http::client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client")
}

/// The cookie that an answer sets, as a request carries it.
pub(crate) fn cookie_of(headers: &reqwest::header::HeaderMap) -> Option<String> {
    let cookie = headers.get(SET_COOKIE)?.to_str().ok()?;
    cookie.split(';').next().map(str::to_owned)
}

/// A text as forms carry it.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}
