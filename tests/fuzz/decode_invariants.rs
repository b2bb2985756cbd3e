//! What holds for decoding whatever comes: it does not panic, takes no more memory than it may, and what it
//! reads can be written and read again with the same result.
//!
//! The fuzz target and the ordinary tests share this.
use fieldpost::event::{Facts, Identifier};
use fieldpost::otlp::compression::Coding;
use fieldpost::otlp::decode::decode;
use fieldpost::otlp::reply;
use fieldpost::otlp::route::Target;
use fieldpost::otlp::{Encoding, Request, Signal};

/// Bytes that a body may inflate to here.
const MAX_INFLATED: usize = 1 << 20;

/// Panics when something does not hold for `data` as a body.
pub(crate) fn check(data: &[u8]) {
    check_decoding(data);
    for coding in [Coding::Identity, Coding::Gzip, Coding::Zstd] {
        if let Ok(inflated) = coding.inflate(data, MAX_INFLATED) {
            assert!(coding == Coding::Identity || inflated.len() <= MAX_INFLATED);
            if coding != Coding::Identity {
                check_decoding(&inflated);
            }
        }
    }
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        reply::read_error(Some(encoding), data);
        for signal in Signal::ALL {
            reply::read_partial_success(signal, encoding, data);
        }
    }
}

fn check_decoding(body: &[u8]) {
    let targets = Signal::ALL.map(Target::Signal);
    for target in targets.into_iter().chain([Target::Sniff]) {
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            if let Ok(decoded) = decode(target, encoding, body) {
                assert_eq!(decoded.bytes, body.len());
                check_request(decoded.request);
            }
        }
    }
}

fn check_request(request: Request) {
    let (signal, records) = (request.signal(), request.record_count());
    let written = request.encode();
    let again = Request::decode_protobuf(signal, &written).expect("what was written can be read");
    assert_eq!(again.record_count(), records);
    assert_eq!(again.encode(), written, "a second time changes nothing");
    let Request::Logs(mut logs) = request else {
        return;
    };
    let identifier = Identifier::new([7; 32]);
    let mut twin = logs.clone();
    identifier.identify(&mut logs);
    identifier.identify(&mut twin);
    for (resource, twin) in logs.resource_logs.iter().zip(&twin.resource_logs) {
        let attributes = resource.resource.as_ref();
        let attributes = attributes.map_or(&[][..], |resource| &resource.attributes);
        for (scope, twin) in resource.scope_logs.iter().zip(&twin.scope_logs) {
            for (record, twin) in scope.log_records.iter().zip(&twin.log_records) {
                let read = |record| Facts::read(record, attributes, scope.scope.as_ref());
                let (facts, of_twin) = (read(record), read(twin));
                assert!(!facts.uid.is_empty() && facts.uid == of_twin.uid);
            }
        }
    }
}
