//! Puts the rules together: those that fieldpost brings along, and those of the configuration's own files.
//!
//! A later rule takes the place of an earlier one with its id. What cannot work is refused, and everything else stands;
//! a file that cannot be read as a whole is an error.
use std::path::PathBuf;

use serde::Deserialize;

use super::{
    allow::Allowed,
    config::{self, RedactConfig},
    engine::Engine,
    file::{File, Place, Refusal, WordLists},
    pii::PiiKind,
    policy::{FoundEntry, Policy},
    profile::Profile,
    providers::Providers,
    rules::{BUILTIN, Rule, RuleError},
    values::KeyWords,
};

/// What is in force, and what is not.
pub(super) struct Loaded {
    pub(super) engine: Engine,
    pub(super) policy: Policy,
    /// Kinds of personal data that the profile searches for.
    pub(super) pii: Vec<PiiKind>,
    pub(super) refusals: Vec<Refusal>,
}

/// Reads the built-in rules and those of the configured files, without those that are off. Rules of files are compiled
/// here; built-in ones when they are first needed, since a test saw to it that they can be.
///
/// # Errors
/// A file that cannot be read as a whole.
pub(super) fn load(config: &RedactConfig) -> Result<Loaded, RuleError> {
    let mut builtin = File::parse(None, BUILTIN)?;
    let base = builtin.rules()?;
    let profile = match config.profile {
        config::Profile::Standard => Profile::default(),
        config::Profile::Strict => Profile::strict()?,
    };
    let mut policy = Policy::builtin()?.with_identity(config.identity);
    policy.put_policy_before(profile.policy);
    let mut own = Own::read(&config.rules, builtin.words, &mut policy)?;
    own.refuse_unknown_ids(config, &base);
    let is_on = |rule: &Rule| {
        let on = !rule.off || config.enable.contains(&rule.id) || profile.enable.contains(&rule.id);
        on && !config.disable.contains(&rule.id)
    };
    let engine = own.engine(&base, is_on, &policy)?;
    own.add_found(&mut policy, &engine);
    policy.finish();
    let allowed = own.allowed(&engine);
    let engine = engine.with_allowed(allowed);
    Ok(Loaded {
        engine,
        policy,
        pii: profile.pii,
        refusals: own.refusals,
    })
}

/// What all files of one's own say together.
struct Own {
    rules: Vec<Rule>,
    words: [WordLists; 2],
    found: Vec<(Place, FoundEntry)>,
    allowed: Vec<(Place, Allowed)>,
    refusals: Vec<Refusal>,
}

impl Own {
    /// Reads the files in their order. Their words are added to those that there are; what they say of attributes goes
    /// into the policy at once.
    fn read(
        paths: &[PathBuf],
        words: [WordLists; 2],
        policy: &mut Policy,
    ) -> Result<Self, RuleError> {
        let mut own = Self {
            rules: Vec::new(),
            words,
            found: Vec::new(),
            allowed: Vec::new(),
            refusals: Vec::new(),
        };
        for path in paths {
            let text = std::fs::read_to_string(path).map_err(|source| RuleError::Unreadable {
                path: path.clone(),
                source,
            })?;
            let mut file = File::parse(Some(path), &text)?;
            let rules = file.take_rules(&mut own.refusals);
            policy.put_before(file.take_attributes(&mut own.refusals));
            let found = file.take_found(&mut own.refusals);
            own.found.extend(found);
            let allowed = file.take_allowed(&mut own.refusals);
            own.allowed.extend(allowed);
            own.rules
                .retain(|earlier| rules.iter().all(|rule| rule.id != earlier.id));
            own.rules.extend(rules);
            file.add_words(&mut own.words, &mut own.refusals);
        }
        Ok(own)
    }

    /// Refuses what the configuration switches and no rule is called.
    fn refuse_unknown_ids(&mut self, config: &RedactConfig, base: &[Rule]) {
        for (key, ids) in [("enable", &config.enable), ("disable", &config.disable)] {
            let unknown = |id: &&String| base.iter().chain(&self.rules).all(|rule| rule.id != **id);
            let refusals = ids.iter().filter(unknown).map(|id| Refusal {
                file: None,
                line: None,
                rule: Some(id.clone()),
                reason: format!(
                    "redact.{key}: there is no rule {id}; fieldpost edge redact --rules lists them"
                ),
            });
            let refusals: Vec<Refusal> = refusals.collect();
            self.refusals.extend(refusals);
        }
    }

    /// The engine of all rules that are on. Those of one's own are held to their examples beside all others, as they
    /// will be used, and go when they fail.
    fn engine(
        &mut self,
        base: &[Rule],
        is_on: impl Fn(&Rule) -> bool,
        policy: &Policy,
    ) -> Result<Engine, RuleError> {
        loop {
            let is_replaced = |rule: &&Rule| self.rules.iter().any(|other| other.id == rule.id);
            let rules = base.iter().filter(|rule| !is_replaced(rule));
            let rules = rules.chain(&self.rules).filter(|rule| is_on(rule)).cloned();
            let [keys, providers] = self.words.each_ref().map(|words| words.table.clone());
            let engine = Engine::new(
                KeyWords::deserialize(keys)?,
                Providers::deserialize(providers)?,
                rules.collect(),
                policy.markers(),
            );
            let failed: Vec<Refusal> = engine
                .rules()
                .iter()
                .filter_map(|rule| {
                    let place = rule.source.as_ref()?;
                    let error = rule.check(|text| engine.spans(text)).err()?;
                    Some(place.refusal(Some(rule.id.clone()), error.to_string()))
                })
                .collect();
            if failed.is_empty() {
                return Ok(engine);
            }
            self.rules
                .retain(|rule| failed.iter().all(|bad| bad.rule.as_ref() != Some(&rule.id)));
            self.refusals.extend(failed);
        }
    }

    /// Adds what the files say of types that are found, now that it is known which types there are.
    fn add_found(&mut self, policy: &mut Policy, engine: &Engine) {
        for (place, entry) in std::mem::take(&mut self.found) {
            match entry.check(&engine.kinds) {
                Ok(()) => policy.add_found(entry),
                Err(reason) => self
                    .refusals
                    .push(place.refusal(None, format!("found: {reason}"))),
            }
        }
    }

    /// What the files let stay of what is found, now that it is known which types there are.
    fn allowed(&mut self, engine: &Engine) -> Vec<Allowed> {
        let mut allowed = Vec::new();
        for (place, entry) in std::mem::take(&mut self.allowed) {
            match entry.check(&engine.kinds) {
                Ok(()) => allowed.push(entry),
                Err(reason) => self
                    .refusals
                    .push(place.refusal(None, format!("allow: {reason}"))),
            }
        }
        allowed
    }
}
