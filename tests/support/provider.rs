//! A real OpenID Connect provider, and somebody who signs in through it by following every redirect and
//! filling in the provider's form, as a browser does.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use fieldpost::central::config::{Config, Oidc};
use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use super::browser::{Browser, Page, encoded, plain_client};
use super::clients::{installed, source};
use super::fieldpost::TestCentral;
use super::process;

/// What the client's secret is at the provider.
pub(crate) const CLIENT_SECRET: &str = "what only fieldpost and the provider know";

/// `oidc-provider`, as a process.
pub(crate) struct Provider {
    /// How it calls itself.
    pub(crate) issuer: String,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    settings: Value,
    _child: Child,
}

impl Provider {
    /// Starts on a free port. Nobody has an account, and no service is known, before [`Provider::serve`].
    pub(crate) async fn start() -> Provider {
        let mut child = process::command("node")
            .arg(source("provider.mjs"))
            .current_dir(installed(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("Node.js starts: install Debian's package nodejs or run tests/run --install");
        let output = child.stdout.take().expect("standard output is piped");
        let mut output = BufReader::new(output).lines();
        let issuer = output.next_line().await.expect("it can be read");
        Provider {
            issuer: issuer.expect("the provider tells its issuer"),
            input: child.stdin.take().expect("standard input is piped"),
            output,
            settings: json!({}),
            _child: child,
        }
    }

    /// A configuration's section that names this provider, with more lines of the section, and of its roles.
    pub(crate) fn config(&self, directory: &Path, more: &str, roles: &str) -> Oidc {
        let file = directory.join("client-secret");
        fieldpost::secret::write_file(&file, CLIENT_SECRET).expect("the directory is writable");
        let text = format!(
            "[oidc]\nissuer = \"{}\"\nclient_id = \"fieldpost\"\nclient_secret_file = \"{}\"\n\
             name = \"Example SSO\"\nscopes = [\"openid\", \"email\", \"groups\"]\n{more}\n\
             [oidc.roles]\n{roles}\n",
            self.issuer,
            file.display()
        );
        let config = Config::parse(&text, &|_| None).expect("a good configuration");
        config.oidc.expect("the section is there")
    }

    /// Lets the service and people with accounts use it.
    pub(crate) async fn serve(&mut self, central: &TestCentral, accounts: Value) {
        self.set(json!({
            "redirect_uri": format!("{}/sign-in/sso/callback", central.url),
            "post_logout_redirect_uri": format!("{}/sign-in", central.url),
            "client_secret": CLIENT_SECRET,
            "accounts": accounts,
        }))
        .await;
    }

    /// Changes what it does from now on.
    pub(crate) async fn set(&mut self, settings: Value) {
        let known = self.settings.as_object_mut().expect("an object");
        known.extend(settings.as_object().expect("an object").clone());
        let line = format!("{}\n", self.settings);
        let written = self.input.write_all(line.as_bytes()).await;
        written.expect("the provider reads");
        let answer = self.output.next_line().await.expect("it can be read");
        assert_eq!(answer.as_deref(), Some("ok"));
    }
}

/// Somebody with a browser that keeps cookies.
#[derive(Default)]
pub(crate) struct Visitor {
    /// Cookies by host and port, and by name.
    cookies: BTreeMap<(String, String), String>,
}

impl Visitor {
    /// Signs in as `name` at the provider, beginning on the portal's page `next`. Gives the portal's answer to
    /// the provider's redirect.
    pub(crate) async fn sign_in(&mut self, central: &TestCentral, name: &str, next: &str) -> Page {
        let callback = self.code(central, name, next).await;
        self.get(&callback).await
    }

    /// The address, with its code, that the provider sends the browser back to.
    pub(crate) async fn code(&mut self, central: &TestCentral, name: &str, next: &str) -> String {
        let begin = format!("{}/sign-in/sso?next={}", central.url, encoded(next));
        let begun = self.get(&begin).await;
        assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", begun.body);
        self.at_the_provider(begun.header("location"), name).await
    }

    /// Goes to the provider's address and signs in there, until it sends the browser back.
    pub(crate) async fn at_the_provider(&mut self, address: &str, name: &str) -> String {
        let origin = origin_of(address);
        let mut address = address.to_owned();
        loop {
            let page = self.get(&address).await;
            let page = match page.body.contains("name=\"login\"") {
                false => page,
                true => {
                    let (_, action) = page.body.split_once("action=\"").expect("a form");
                    let action = action.split('"').next().expect("an address").to_owned();
                    let form = format!("prompt=login&login={}&password=x", encoded(name));
                    self.send(Method::POST, &absolute(&origin, &action), Some(form))
                        .await
                }
            };
            let location = page.header("location");
            assert!(!location.is_empty(), "{} {}", page.status, page.body);
            address = absolute(&origin, location);
            if origin_of(&address) != origin {
                return address;
            }
        }
    }

    /// A page, without following where it leads.
    pub(crate) async fn get(&mut self, address: &str) -> Page {
        self.send(Method::GET, address, None).await
    }

    async fn send(&mut self, method: Method, address: &str, form: Option<String>) -> Page {
        let host = origin_of(address);
        let cookies = self.cookies.iter().filter(|((of, _), _)| *of == host);
        let cookies: Vec<String> = cookies
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        let mut request = plain_client().request(method, address);
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        if let Some(form) = form {
            request = request
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form);
        }
        let page = Page::read(request).await;
        for cookie in page.headers.get_all(SET_COOKIE) {
            let pair = cookie
                .to_str()
                .expect("cookies are ASCII")
                .split(';')
                .next();
            let (name, value) = pair
                .and_then(|pair| pair.split_once('='))
                .expect("a cookie");
            self.cookies
                .insert((host.clone(), name.to_owned()), value.to_owned());
        }
        page
    }

    /// The session that the portal gave.
    pub(crate) fn browser(&self, central: &TestCentral) -> Browser {
        let key = (central.url.clone(), "fieldpost".to_owned());
        let secret = self.cookies.get(&key).expect("a session");
        Browser::with_session(&central.url, &format!("fieldpost={secret}"))
    }
}

/// Where an answer leads, as an absolute address.
fn absolute(origin: &str, address: &str) -> String {
    match address.starts_with('/') {
        true => format!("{origin}{address}"),
        false => address.to_owned(),
    }
}

fn origin_of(address: &str) -> String {
    address.split('/').take(3).collect::<Vec<_>>().join("/")
}
