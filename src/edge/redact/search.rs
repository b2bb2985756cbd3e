//! One pass over one text: at each keyword, the closer look that it calls for, within the budget of work.
use std::ops::Range;

use super::{
    engine::{Engine, PROVIDER_TYPE, kind_of},
    manifest, opaque, pairs, pem,
    providers::Name,
    rules::Rule,
    spans::{PLACEHOLDER, Rank, Span, placeholder_at, whole_characters},
};

/// Work allowed per byte of text, in bytes looked at.
const WORK_PER_BYTE: usize = 24;
/// Work allowed for any text, however short.
const WORK_BASE: usize = 64 * 1024;
/// What one look at a key and its value costs, in bytes looked at.
const PAIR_WORK: usize = 96;
/// What one look behind the name of a provider costs.
const PROVIDER_WORK: usize = 384;
/// What one try of a rule costs beside the bytes it looks at.
const TRY_WORK: usize = 32;

/// What to look at where a keyword stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Try {
    /// A run of base64 in which only tokens of known formats count.
    Opaque,
    /// A rule whose token begins here.
    Token(usize),
    /// A rule on the value of the key that this is part of.
    Value(usize),
    /// The key words on the pair that this is part of.
    Key,
    /// A random value after the name of a provider.
    Provider(Name),
    /// A private key.
    Pem,
    /// A manifest of Kubernetes.
    Manifest,
}

/// The budget is spent.
#[derive(Debug)]
pub(super) struct Spent;

/// One pass over one text.
pub(super) struct Search<'e, 't> {
    engine: &'e Engine,
    text: &'t str,
    spans: Vec<Span<'e>>,
    /// The pair read last: several keywords of one key share it.
    pair: Option<ReadPair>,
    /// Private keys up to here are cut already.
    after_pem: usize,
    /// Manifests up to here are cut already.
    after_manifest: usize,
    /// The run of base64 read last.
    opaque: Range<usize>,
    work: usize,
}

struct ReadPair {
    /// Where the key stands; hits inside it need no second look.
    key: Range<usize>,
    pair: Option<pairs::Pair>,
    graded: bool,
}

impl<'e, 't> Search<'e, 't> {
    pub(super) fn new(engine: &'e Engine, text: &'t str) -> Self {
        Self {
            engine,
            text,
            spans: Vec::new(),
            pair: None,
            after_pem: 0,
            after_manifest: 0,
            opaque: 0..0,
            work: WORK_BASE + text.len().saturating_mul(WORK_PER_BYTE),
        }
    }

    /// What was found, in no order.
    pub(super) fn into_spans(self) -> Vec<Span<'e>> {
        self.spans
    }

    /// Looks closer at a keyword, which was found at `hit`.
    ///
    /// # Errors
    /// The budget is spent.
    pub(super) fn attempt(&mut self, what: Try, hit: Range<usize>) -> Result<(), Spent> {
        let in_blob = self.opaque.contains(&hit.start);
        match what {
            Try::Opaque => self.opaque(hit),
            Try::Token(index) => self.token(&self.engine.rules[index], hit)?,
            Try::Pem => self.pem(hit),
            Try::Value(_) | Try::Key | Try::Provider(_) | Try::Manifest if in_blob => {}
            Try::Value(index) => self.value(&self.engine.rules[index], hit)?,
            Try::Key => self.key(hit)?,
            Try::Provider(name) => self.provider(name, hit)?,
            Try::Manifest => self.manifest(hit)?,
        }
        Ok(())
    }

    fn opaque(&mut self, hit: Range<usize>) {
        if hit.end > self.opaque.end
            && let Some(blob) = opaque::blob_after(self.text.as_bytes(), hit.end)
        {
            self.opaque = blob;
        }
    }

    fn token(&mut self, rule: &'e Rule, hit: Range<usize>) -> Result<(), Spent> {
        let text = self.text.as_bytes();
        if !rule.may_begin(text, hit.start) {
            return Ok(());
        }
        let Some(window) = rule.window(text, hit.start) else {
            return Ok(());
        };
        self.spend(TRY_WORK + window.len())?;
        let Some(secret) = rule.at_keyword(text, window) else {
            return Ok(());
        };
        let range = whole_characters(self.text, secret);
        let keys = &self.engine.keys;
        if rule.generic && keys.stands_for_another(&self.text[range.clone()], true) {
            return Ok(());
        }
        let rank = if rule.generic {
            Rank::Context
        } else {
            Rank::Format
        };
        self.spans.push(Span {
            range,
            kind: &rule.kind,
            rule: &rule.id,
            rank,
            weight: hit.len(),
            wrap: None,
        });
        Ok(())
    }

    fn value(&mut self, rule: &'e Rule, hit: Range<usize>) -> Result<(), Spent> {
        let (text, weight) = (self.text.as_bytes(), hit.len());
        if !begins_word(text, hit.start) {
            return Ok(());
        }
        let Some(pair) = self.pair_at(hit)?.pair.clone() else {
            return Ok(());
        };
        if rule.generic && pair.separator != pairs::Separator::Sign {
            return Ok(());
        }
        self.spend(pair.value.len())?;
        let Some(secret) = rule.at_value(text, pair.value.clone()) else {
            return Ok(());
        };
        // Quotes go around a whole value, never into one.
        let range = if pair.wrap.is_some() {
            pair.value
        } else {
            secret
        };
        let rank = if rule.generic {
            Rank::Context
        } else {
            Rank::KeyAndFormat
        };
        self.spans.push(Span {
            range,
            kind: &rule.kind,
            rule: &rule.id,
            rank,
            weight,
            wrap: pair.wrap,
        });
        Ok(())
    }

    fn key(&mut self, hit: Range<usize>) -> Result<(), Spent> {
        let weight = hit.len();
        let read = self.pair_at(hit)?;
        if std::mem::replace(&mut read.graded, true) {
            return Ok(());
        }
        let Some(pair) = read.pair.clone() else {
            return Ok(());
        };
        if self.opaque.start == pair.value.start {
            return Ok(());
        }
        self.spend(pair.value.len())?;
        if let Some(found) = self.engine.keys.grade(self.text, &pair) {
            self.spans.push(Span {
                range: pair.value,
                kind: kind_of(found),
                rule: kind_of(found),
                rank: Rank::Generic,
                weight,
                wrap: pair.wrap,
            });
        }
        Ok(())
    }

    fn provider(&mut self, name: Name, hit: Range<usize>) -> Result<(), Spent> {
        if !begins_word(self.text.as_bytes(), hit.start) {
            return Ok(());
        }
        self.spend(PROVIDER_WORK)?;
        let (engine, text) = (self.engine, self.text);
        let found = engine
            .providers
            .value_after(text, hit.end, name, &engine.keys);
        let found = found.map(|range| built_in(range, PROVIDER_TYPE, Rank::Context, hit.len()));
        self.spans.extend(found);
        Ok(())
    }

    fn manifest(&mut self, hit: Range<usize>) -> Result<(), Spent> {
        let (text, weight) = (self.text.as_bytes(), hit.len());
        if hit.start >= self.after_manifest
            && let Some(found) = manifest::secret(text, hit, self.after_manifest)
        {
            self.spend(found.end - self.after_manifest.min(found.end))?;
            self.after_manifest = found.end;
            let span = |range| built_in(range, manifest::TYPE, Rank::Context, weight);
            self.spans.extend(found.values.into_iter().map(span));
        }
        Ok(())
    }

    fn pem(&mut self, hit: Range<usize>) {
        let (text, weight) = (self.text.as_bytes(), hit.len());
        if hit.start >= self.after_pem
            && let Some(key) = pem::private_key(text, hit)
        {
            self.after_pem = key.end;
            self.spans
                .push(built_in(key, pem::TYPE, Rank::Format, weight));
        }
    }

    /// The pair around a keyword, read once per key.
    fn pair_at(&mut self, hit: Range<usize>) -> Result<&mut ReadPair, Spent> {
        let known = self
            .pair
            .as_ref()
            .is_some_and(|read| read.key.start <= hit.start && hit.end <= read.key.end);
        if !known {
            self.spend(PAIR_WORK)?;
            // The type in a placeholder is no key of what follows it.
            let (text, kinds) = (self.text, &self.engine.kinds);
            let pair = pairs::parse(text.as_bytes(), hit.clone()).filter(|pair| {
                let before = text[..pair.key.start].strip_suffix(PLACEHOLDER);
                before.is_none_or(|before| placeholder_at(text, before.len(), kinds).is_none())
            });
            self.spend(pair.as_ref().map_or(0, |pair| pair.value.len()))?;
            let key = pair.as_ref().map_or(hit, |pair| pair.key.clone());
            self.pair = Some(ReadPair {
                key,
                pair,
                graded: false,
            });
        }
        Ok(self.pair.as_mut().expect("read above"))
    }

    fn spend(&mut self, work: usize) -> Result<(), Spent> {
        self.work = self.work.checked_sub(work).ok_or(Spent)?;
        Ok(())
    }
}

/// A find of what is no rule.
fn built_in(range: Range<usize>, kind: &'static str, rank: Rank, weight: usize) -> Span<'static> {
    Span {
        range,
        kind,
        rule: kind,
        rank,
        weight,
        wrap: None,
    }
}

/// A key word of a rule counts at the start of a word: after a sign, at a capital, after an escape.
fn begins_word(text: &[u8], start: usize) -> bool {
    let Some(previous) = start.checked_sub(1).map(|at| text[at]) else {
        return true;
    };
    let escaped = start >= 2 && text[start - 2] == b'\\' && b"nrt".contains(&previous);
    !previous.is_ascii_alphabetic()
        || escaped
        || (text[start].is_ascii_uppercase() && previous.is_ascii_lowercase())
}
