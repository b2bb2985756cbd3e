//! The service's API, as a script would use it.

use std::collections::BTreeSet;

use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;

use super::eventually;
use super::fieldpost::client;

/// One environment's API.
pub(crate) struct Api {
    client: Client,
    base: String,
    key: String,
}

impl Api {
    pub(crate) fn new(url: &str, key: &str) -> Api {
        Api {
            client: client(),
            base: format!("{url}/api/v1"),
            key: key.to_owned(),
        }
    }

    /// Any request's answer.
    pub(crate) async fn request(&self, path: &str) -> Response {
        let url = format!("{}/{path}", self.base);
        self.client
            .get(url)
            .bearer_auth(&self.key)
            .send()
            .await
            .expect("the service answers")
    }

    /// A POST's answer.
    pub(crate) async fn post(&self, path: &str) -> Response {
        let url = format!("{}/{path}", self.base);
        self.client
            .post(url)
            .bearer_auth(&self.key)
            .send()
            .await
            .expect("the service answers")
    }

    /// The answer to a request with a body.
    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Response {
        let url = format!("{}/{path}", self.base);
        self.client
            .request(method, url)
            .bearer_auth(&self.key)
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .expect("the service answers")
    }

    /// A DELETE's answer.
    pub(crate) async fn delete(&self, path: &str) -> Response {
        let url = format!("{}/{path}", self.base);
        self.client
            .delete(url)
            .bearer_auth(&self.key)
            .send()
            .await
            .expect("the service answers")
    }

    /// A resource.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.request(path).await;
        let (status, text) = (answer.status(), answer.text().await.expect("a body"));
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        serde_json::from_str(&text).expect("the API speaks JSON")
    }

    /// All rows of a list, over all its pages.
    pub(crate) async fn list(&self, path: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let mut page = self.get(&format!("{path}{separator}cursor={cursor}")).await;
            rows.append(page["items"].as_array_mut().expect("a list has items"));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => return rows,
            }
        }
    }

    /// The text under `key` of every row of a list.
    pub(crate) async fn column(&self, path: &str, key: &str) -> BTreeSet<String> {
        let rows = self.list(path).await;
        rows.iter()
            .filter_map(|row| row[key].as_str())
            .map(str::to_owned)
            .collect()
    }

    /// The events of a list, once there are `count`.
    pub(crate) async fn wait_for_events(&self, path: &str, count: usize) -> Vec<Value> {
        let path = path.to_owned();
        eventually(&format!("{count} events at {path}"), async || {
            let rows = self.list(&path).await;
            assert!(
                rows.len() <= count,
                "{} events at {path}, expected {count}",
                rows.len()
            );
            (rows.len() == count).then_some(rows)
        })
        .await
    }
}
