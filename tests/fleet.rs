//! What a fleet needs: the service under systemd, the texts that fleets' tools carry, install and
//! doctor, packages.

mod machine;
mod supervision;
mod units;
mod rollout;
mod install;
mod person;
mod doctor;
mod packages;
mod rpm;
mod launchd;
mod policy;
