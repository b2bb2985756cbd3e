//! Says where a record came from: attributes of the host and of the edge, on its resource.
//!
//! What the client sent is never overwritten, but for the edge's own keys, which a client must not
//! be able to claim.

mod machine;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::event::{EDGE_ID, EDGE_SEQ, EDGE_VERSION, PEER_UID, PROCESS_OWNER, attribute};
use crate::otlp::Request;
use crate::reload::Swap;
use crate::shutdown::Shutdown;

use super::owner::Owner;
use machine::Machine;

/// Keys that only an edge sets.
const OWN_KEYS: [&str; 4] = [EDGE_ID, EDGE_SEQ, EDGE_VERSION, PEER_UID];

/// Time between two readings of the machine's facts: a laptop may get another name, a system another version.
const READ_EVERY: Duration = Duration::from_secs(3600);

/// Facts about this machine, as resource attributes.
pub(super) struct Facts(Vec<KeyValue>);

/// What is added to records.
pub(super) struct Enricher {
    /// What the configuration says, and what the edge says of itself.
    attributes: Vec<KeyValue>,
    facts: Arc<Swap<Facts>>,
    extras: bool,
}

impl Facts {
    /// Asks the system.
    pub(super) fn read() -> Facts {
        let Machine { id, serial } = Machine::read();
        let facts = [
            ("host.name", host_name()),
            ("host.id", id),
            ("host.arch", Some(host_arch().to_owned())),
            ("os.type", Some(os_type().to_owned())),
            ("os.version", os_version()),
            ("device.serial", serial),
        ];
        let facts = facts.into_iter();
        Facts(
            facts
                .filter_map(|(key, value)| Some(named(key, &value?)))
                .collect(),
        )
    }
}

/// Reads the facts again now and then, until `shutdown`. Nobody waits for them.
pub(super) async fn keep_fresh(facts: Arc<Swap<Facts>>, mut shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(READ_EVERY) => {}
            () = shutdown.requested() => return,
        }
        if let Ok(read) = tokio::task::spawn_blocking(Facts::read).await {
            facts.store(read);
        }
    }
}

impl Enricher {
    /// `fixed` attributes come from the configuration. The edge's own attributes are added only for
    /// an `edge_id`.
    pub(super) fn new(
        edge_id: Option<&str>,
        fixed: &BTreeMap<String, String>,
        facts: Arc<Swap<Facts>>,
    ) -> Enricher {
        let mut attributes: Vec<KeyValue> =
            fixed.iter().map(|(key, value)| named(key, value)).collect();
        if let Some(edge_id) = edge_id {
            attributes.push(named(EDGE_ID, edge_id));
            attributes.push(named(EDGE_VERSION, env!("CARGO_PKG_VERSION")));
        }
        Enricher {
            attributes,
            facts,
            extras: edge_id.is_some(),
        }
    }

    /// Adds the facts to every resource of `request`, and those about its `owner`.
    pub(super) fn enrich(&self, request: &mut Request, owner: Option<&Owner>) {
        let mut added = owner.map(|owner| self.about(owner)).unwrap_or_default();
        added.extend_from_slice(&self.attributes);
        added.extend_from_slice(&self.facts.load().0);
        match request {
            Request::Logs(logs) => {
                for resource_logs in &mut logs.resource_logs {
                    enrich_resource(&mut resource_logs.resource, &added);
                    resource_logs
                        .scope_logs
                        .iter_mut()
                        .flat_map(|scope| &mut scope.log_records)
                        .for_each(|record| remove_own_keys(&mut record.attributes));
                }
            }
            Request::Metrics(metrics) => metrics
                .resource_metrics
                .iter_mut()
                .for_each(|metrics| enrich_resource(&mut metrics.resource, &added)),
            Request::Traces(traces) => traces
                .resource_spans
                .iter_mut()
                .for_each(|spans| enrich_resource(&mut spans.resource, &added)),
        }
    }

    fn about(&self, owner: &Owner) -> Vec<KeyValue> {
        let name = owner.name.as_deref();
        let name = name.map(|name| named(PROCESS_OWNER, name));
        let uid = self
            .extras
            .then(|| attribute(PEER_UID, Value::IntValue(owner.uid.into())));
        name.into_iter().chain(uid).collect()
    }
}

fn enrich_resource(resource: &mut Option<Resource>, added: &[KeyValue]) {
    let resource = resource.get_or_insert_default();
    remove_own_keys(&mut resource.attributes);
    for attribute in added {
        if !resource
            .attributes
            .iter()
            .any(|present| present.key == attribute.key)
        {
            resource.attributes.push(attribute.clone());
        }
    }
}

fn remove_own_keys(attributes: &mut Vec<KeyValue>) {
    attributes.retain(|attribute| !OWN_KEYS.contains(&attribute.key.as_str()));
}

fn named(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

#[cfg(unix)]
fn host_name() -> Option<String> {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    (!name.is_empty()).then_some(name)
}

#[cfg(windows)]
fn host_name() -> Option<String> {
    std::env::var("COMPUTERNAME").ok()
}

#[cfg(unix)]
fn os_version() -> Option<String> {
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    (!release.is_empty()).then_some(release)
}

/// What no variable and no file tells is left out.
#[cfg(windows)]
fn os_version() -> Option<String> {
    None
}

/// The architecture in OpenTelemetry's words.
fn host_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "x86",
        other => other,
    }
}

/// The operating system in OpenTelemetry's words.
fn os_type() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Attributes;
    use crate::otlp::{ExportLogsServiceRequest, Signal};
    use crate::shutdown::channel;
    use opentelemetry_proto::tonic::logs::v1::ResourceLogs;

    fn resource_of(enricher: &Enricher) -> Resource {
        let mut request = Request::Logs(ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs::default()],
        });
        enricher.enrich(&mut request, None);
        assert_eq!(request.signal(), Signal::Logs);
        let Request::Logs(mut logs) = request else {
            unreachable!("it was made of logs")
        };
        logs.resource_logs
            .remove(0)
            .resource
            .expect("it was enriched")
    }

    #[tokio::test(start_paused = true)]
    async fn facts_are_read_again_after_a_while_and_the_configuration_counts_for_more() {
        let old = Facts(vec![
            named("host.name", "before"),
            named("os.type", "a system of old"),
        ]);
        let facts = Arc::new(Swap::new(old));
        let fixed = BTreeMap::from([("os.type".to_owned(), "configured".to_owned())]);
        let enricher = Enricher::new(None, &fixed, Arc::clone(&facts));
        let told = |key: &str| Attributes::new(&resource_of(&enricher).attributes, &[]).text(key);
        assert_eq!(told("host.name").as_deref(), Some("before"));
        let (trigger, shutdown) = channel();
        let keeper = tokio::spawn(keep_fresh(facts, shutdown));
        // The clock stands still but for these waits, of which the first ends before the facts are read.
        tokio::time::sleep(READ_EVERY - Duration::from_secs(1)).await;
        assert_eq!(told("host.name").as_deref(), Some("before"));
        while told("host.name").as_deref() == Some("before") {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(told("host.name"), host_name());
        assert_eq!(told("os.type").as_deref(), Some("configured"));
        trigger.stop();
        keeper.await.expect("it ends");
    }
}
