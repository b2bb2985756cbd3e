//! A company's own exceptions from its proxy. What Claude is told takes the place of the `NO_PROXY` that it would have
//! otherwise, so that the company's must be in it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::rollout::POLICY;

/// Both spellings are in use.
const NAMES: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The exceptions that were `given`, or else those of the machine: of Claude's other managed settings, of what was
/// written before, and of `/etc/environment`.
pub(super) fn company_exceptions(root: &Path, given: Option<&str>) -> String {
    if let Some(given) = given {
        return given.to_owned();
    }
    let policy = root.join(POLICY);
    let drop_ins = fs::read_dir(policy.join("managed-settings.d"));
    let drop_ins = drop_ins.into_iter().flatten().flatten();
    let mut files: Vec<_> = drop_ins.map(|entry| entry.path()).collect();
    files.sort();
    files.insert(0, policy.join("managed-settings.json"));
    let mut lists: Vec<String> = files.iter().flat_map(|file| of_settings(file)).collect();
    lists.extend(of_environment(&root.join("etc/environment")));
    let mut merged: Vec<&str> = Vec::new();
    for exception in lists.iter().flat_map(|list| list.split(',')) {
        let exception = exception.trim();
        if !exception.is_empty() && !merged.contains(&exception) {
            merged.push(exception);
        }
    }
    merged.join(",")
}

fn of_settings(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let settings: Value = serde_json::from_str(&text).unwrap_or_default();
    let lists = NAMES
        .iter()
        .filter_map(|name| settings["env"][*name].as_str());
    lists.map(str::to_owned).collect()
}

/// Lines such as `NO_PROXY="localhost,.example.com"`, as pam_env reads them.
fn of_environment(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().filter_map(|line| {
        let (name, value) = line.trim().split_once('=')?;
        let name = name.trim_start_matches("export ").trim();
        let value = value.trim().trim_matches(['"', '\'']);
        NAMES.contains(&name).then(|| value.to_owned())
    });
    lines.collect()
}
