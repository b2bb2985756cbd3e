//! Says where a record came from: attributes of the host and of the edge, on its resource.
//!
//! What the client sent is never overwritten, but for the edge's own keys, which a client must not
//! be able to claim.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::event::{EDGE_ID, EDGE_SEQ, EDGE_VERSION, PEER_UID, PROCESS_OWNER, attribute};
use crate::otlp::Request;

use super::owner::Owner;

/// Keys that only an edge sets.
const OWN_KEYS: [&str; 4] = [EDGE_ID, EDGE_SEQ, EDGE_VERSION, PEER_UID];

/// Facts about this machine, read once, as resource attributes.
pub(super) struct Enricher {
    attributes: Vec<KeyValue>,
    extras: bool,
}

impl Enricher {
    /// Reads the machine's facts; `fixed` attributes come from the configuration. The edge's own
    /// attributes are added only for an `edge_id`.
    pub(super) fn new(edge_id: Option<&str>, fixed: &BTreeMap<String, String>) -> Enricher {
        let mut attributes: Vec<KeyValue> =
            fixed.iter().map(|(key, value)| named(key, value)).collect();
        let facts = [
            (EDGE_ID, edge_id.map(str::to_owned)),
            (
                EDGE_VERSION,
                edge_id.map(|_| env!("CARGO_PKG_VERSION").to_owned()),
            ),
            ("host.name", host_name()),
            ("host.id", first_line("/etc/machine-id")),
            ("host.arch", Some(host_arch().to_owned())),
            ("os.type", Some(os_type().to_owned())),
            ("os.version", os_version()),
            (
                "device.serial",
                first_line("/sys/class/dmi/id/product_serial"),
            ),
        ];
        attributes.extend(
            facts
                .into_iter()
                .filter_map(|(key, value)| Some(named(key, &value?))),
        );
        Enricher {
            attributes,
            extras: edge_id.is_some(),
        }
    }

    /// Adds the facts to every resource of `request`, and those about its `owner`.
    pub(super) fn enrich(&self, request: &mut Request, owner: Option<&Owner>) {
        let owner = owner.map(|owner| self.about(owner)).unwrap_or_default();
        match request {
            Request::Logs(logs) => {
                for resource_logs in &mut logs.resource_logs {
                    self.enrich_resource(&mut resource_logs.resource, &owner);
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
                .for_each(|metrics| self.enrich_resource(&mut metrics.resource, &owner)),
            Request::Traces(traces) => traces
                .resource_spans
                .iter_mut()
                .for_each(|spans| self.enrich_resource(&mut spans.resource, &owner)),
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

    fn enrich_resource(&self, resource: &mut Option<Resource>, owner: &[KeyValue]) {
        let resource = resource.get_or_insert_default();
        remove_own_keys(&mut resource.attributes);
        for attribute in owner.iter().chain(&self.attributes) {
            if !resource
                .attributes
                .iter()
                .any(|present| present.key == attribute.key)
            {
                resource.attributes.push(attribute.clone());
            }
        }
    }
}

fn remove_own_keys(attributes: &mut Vec<KeyValue>) {
    attributes.retain(|attribute| !OWN_KEYS.contains(&attribute.key.as_str()));
}

fn named(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn host_name() -> Option<String> {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    (!name.is_empty()).then_some(name)
}

fn os_version() -> Option<String> {
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    (!release.is_empty()).then_some(release)
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

/// The first line of a file, when it can be read and is not blank.
fn first_line(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}
