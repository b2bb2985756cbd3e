//! The one integration test binary. `journey` is read first: it follows a record from a client to the
//! page. Every other module deepens one stretch of that way.
//!
//! Real servers on port 0, real sled, real SQLite, real clients, a real browser. Nothing is skipped: a
//! missing prerequisite fails, and says what to install.

mod journey;
mod clients;
mod claude;
mod receiver;
mod lenient;
mod redaction;
mod redact_command;
mod clean_logs;
mod queue;
mod damage;
mod worn;
mod limits;
mod disk_full;
mod parked;
mod forwarder;
mod unwell;
mod flights;
mod upstream;
mod owner;
mod inside;
mod hot_reload;
mod reload;
mod service;
mod grpc;
mod tokens;
mod senders;
mod tenancy;
mod statuses;
mod fuzzed;
mod storm;
mod ingest;
mod store;
mod robust;
mod exactly_once;
mod upkeep;
mod search;
mod sums;
mod signals;
mod materialization;
mod machines;
mod api;
mod openapi;
mod people;
mod single_sign_on;
mod audit;
mod machine_rules;
mod access;
mod walk;
mod views;
mod portal;
mod templates;
mod dev;
mod soak;
mod powercut;
mod cli;
mod fleet;
mod architecture;
mod support;
