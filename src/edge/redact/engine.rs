//! Finds secrets in one text and replaces them, in place.
//!
//! **Constraints.** Only the secret is cut, the text around it keeps every byte. JSON in the text stays valid at
//! every level of strings in strings. The result holds no secret that a second pass would find. Time is linear in
//! the text, whatever the text.
//!
//! **How.** One pass finds the keywords of all rules ([`super::keywords`]). At each hit a rule is verified, anchored and
//! within its window; keywords of keys go to [`super::pairs`] and the found pair is graded. The spans found are
//! merged where they overlap, a specific type winning over a generic one, and replaced by `[REDACTED:<type>]`. The
//! result is searched again until nothing is found, since a cut may bring to light what stood in its shade.
//!
//! **Failure.** Each text has a budget of work, proportional to its length. When it is spent, or when passes do not
//! come to an end, the whole text becomes `[REDACTED:budget]`: closed, not open.
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{
    Hits,
    allow::Allowed,
    escapes::Plain,
    hash::HashKey,
    keywords::Keywords,
    manifest, pem,
    pii::{PiiKind, PiiKinds},
    providers::Providers,
    quotes::VALUE_REACH,
    rules::{At, Rule},
    search::{Search, Spent, Try},
    spans::{
        PLACEHOLDER, Rank, Span, placeholder, placeholder_at, replace, settle, whole_characters,
    },
    values::{Found, KeyWords},
};

/// What replaces a text that cost too much work.
pub(super) const BUDGET_TYPE: &str = "budget";
/// Replaces bytes that are no text.
pub(super) const BINARY_TYPE: &str = "binary";
/// Replaces values nested deeper than anybody reads.
pub(super) const DEPTH_TYPE: &str = "depth";
/// Replaces the name of a person.
pub(super) const IDENTITY_TYPE: &str = "identity";
/// Stands in a record of which nothing else is left.
pub(super) const RECORD_TYPE: &str = "record";
/// Replaces what stands after the name of a provider.
pub(super) const PROVIDER_TYPE: &str = "provider-key";
/// Passes over one text before it is given up.
pub(super) const MAX_PASSES: usize = 4;
/// No secret is shorter than this.
const SHORTEST: usize = 8;

/// The compiled rules.
#[derive(Debug)]
pub(super) struct Engine {
    keywords: Keywords,
    /// What to try at each keyword.
    tries: Vec<Vec<Try>>,
    pub(super) rules: Vec<Rule>,
    pub(super) keys: KeyWords,
    pub(super) providers: Providers,
    /// Every type that a placeholder can name.
    pub(super) kinds: BTreeSet<String>,
    /// The personal data to look for.
    pii: PiiKinds,
    /// Finds that stay.
    allowed: Vec<Allowed>,
    /// Placeholders carry a hash under this key.
    key: Option<HashKey>,
}

/// What is looked for in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everything that is switched on.
    All,
    /// Secrets; not personal data, whatever is switched on.
    Secrets,
    /// Tokens whose format is known, and private keys.
    Formats,
}

impl Engine {
    /// An engine of these rules; `markers` are types that placeholders have beside the rules'.
    pub(super) fn new(
        keys: KeyWords,
        providers: Providers,
        rules: Vec<Rule>,
        markers: Vec<String>,
    ) -> Self {
        let tries = tries(&keys, &providers, &rules);
        Self {
            keywords: Keywords::new(tries.keys().map(String::as_str)),
            tries: tries.into_values().collect(),
            kinds: kinds(&rules, markers),
            rules,
            keys,
            providers,
            pii: PiiKinds::default(),
            allowed: Vec::new(),
            key: None,
        }
    }

    /// An engine that knows no secrets.
    pub(super) fn without_rules() -> Self {
        Self {
            keywords: Keywords::new(std::iter::empty()),
            tries: Vec::new(),
            rules: Vec::new(),
            keys: KeyWords::default(),
            providers: Providers::default(),
            kinds: PiiKind::ALL.map(|kind| kind.name().to_owned()).into(),
            pii: PiiKinds::default(),
            allowed: Vec::new(),
            key: None,
        }
    }

    /// The same engine, looking for personal data too.
    pub(super) fn with_pii(self, pii: PiiKinds) -> Self {
        Self { pii, ..self }
    }

    /// The same engine, letting some of what it finds stay.
    pub(super) fn with_allowed(self, allowed: Vec<Allowed>) -> Self {
        Self { allowed, ..self }
    }

    /// The same engine, with hashes in its placeholders.
    pub(super) fn with_hash_key(self, key: HashKey) -> Self {
        Self {
            key: Some(key),
            ..self
        }
    }

    /// The key of the hashes in placeholders.
    pub(super) fn key(&self) -> Option<&HashKey> {
        self.key.as_ref()
    }

    /// What stands in the place of a secret of this type.
    pub(super) fn placeholder(&self, kind: &str, secret: &str) -> String {
        placeholder(kind, secret, self.key.as_ref())
    }

    pub(super) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The text without its secrets, borrowed when there are none.
    pub(super) fn redact<'a>(&self, text: &'a str, scope: Scope) -> (Cow<'a, str>, Hits) {
        let mut hits = Hits::default();
        let mut result = Cow::Borrowed(text);
        for _ in 0..MAX_PASSES {
            match self.find(&result, scope) {
                Ok(spans) if spans.is_empty() => return (result, hits),
                Ok(spans) => {
                    let key = self.key.as_ref();
                    let (replaced, _) = replace(&result, &spans, key, &mut hits);
                    result = Cow::Owned(replaced);
                }
                Err(Spent) => break,
            }
        }
        if matches!(self.find(&result, scope), Ok(spans) if spans.is_empty()) {
            return (result, hits);
        }
        hits.add(BUDGET_TYPE, BUDGET_TYPE);
        (Cow::Owned(format!("{PLACEHOLDER}{BUDGET_TYPE}]")), hits)
    }

    /// The type of a whole value and the rule that says so, when its key gives it away: `password` and what stands
    /// under it.
    pub(super) fn kind_by_key(&self, key: &str, value: &str) -> Option<(&str, &str)> {
        if value.is_empty() || value.len() > VALUE_REACH || self.is_placeholder(value) {
            return None;
        }
        let plain = Plain::of(value);
        let value = plain.text();
        let mut by_words = false;
        let mut by_rule = None;
        let _: Result<(), ()> = self.keywords.find(key.as_bytes(), |keyword, _| {
            for what in &self.tries[keyword] {
                match *what {
                    Try::Value(index) => {
                        let rule = &self.rules[index];
                        let whole = rule
                            .at_value(value.as_bytes(), 0..value.len())
                            .is_some_and(|secret| secret.len() == value.len());
                        if whole {
                            by_rule = Some(rule);
                            return Err(());
                        }
                    }
                    Try::Key => by_words = true,
                    Try::Opaque | Try::Token(_) | Try::Provider(_) | Try::Pem | Try::Manifest => {}
                }
            }
            Ok(())
        });
        if let Some(rule) = by_rule {
            let lets = self.lets(&rule.kind, Rank::KeyAndFormat, value);
            return (!lets).then_some((&rule.kind, &rule.id));
        }
        let found = by_words.then(|| self.keys.grade_whole(key, value))?;
        let kind = kind_of(found?);
        (!self.lets(kind, Rank::Generic, value)).then_some((kind, kind))
    }

    /// What finds secrets beside the rules: words of keys, names of providers, and forms.
    pub(super) fn built_in_kinds() -> [&'static str; 5] {
        let by_words = [Found::Password, Found::Secret].map(kind_of);
        let [password, secret] = by_words;
        [password, secret, PROVIDER_TYPE, manifest::TYPE, pem::TYPE]
    }

    /// What one pass finds, with the type of each span.
    pub(super) fn spans(&self, text: &str) -> Vec<(Range<usize>, String)> {
        let spans = self.find(text, Scope::Secrets).unwrap_or_default();
        spans
            .into_iter()
            .map(|span| (span.range, span.kind.to_owned()))
            .collect()
    }

    fn lets(&self, kind: &str, rank: Rank, secret: &str) -> bool {
        self.allowed.iter().any(|one| one.lets(kind, rank, secret))
    }

    fn is_placeholder(&self, value: &str) -> bool {
        placeholder_at(value, 0, &self.kinds).is_some_and(|whole| whole.end == value.len())
    }

    /// What one pass finds.
    pub(super) fn find(&self, text: &str, scope: Scope) -> Result<Vec<Span<'_>>, Spent> {
        if text.len() < SHORTEST {
            return Ok(Vec::new());
        }
        let plain = Plain::of(text);
        let text = plain.text();
        let mut search = Search::new(self, text);
        self.keywords.find(text.as_bytes(), |keyword, place| {
            self.tries[keyword]
                .iter()
                .try_for_each(|&what| search.attempt(what, place.clone()))
        })?;
        let mut spans = search.into_spans();
        if scope == Scope::All && !self.pii.is_empty() {
            self.pii.find(text.as_bytes(), |item| {
                spans.push(Span {
                    range: whole_characters(text, item.range),
                    kind: item.kind.name(),
                    rule: item.kind.name(),
                    rank: Rank::Personal,
                    weight: 0,
                    wrap: item.wrap,
                })
            });
        }
        if scope == Scope::Formats {
            spans.retain(|span| span.rank == Rank::Format);
        }
        // Before overlaps are merged: what else stands there is no less a secret.
        spans.retain(|span| !self.lets(span.kind, span.rank, &text[span.range.clone()]));
        let mut spans = settle(text, spans, &self.kinds);
        spans.retain_mut(|span| {
            span.range = plain.original(&span.range);
            span.wrap = span.wrap.take().map(|quote| plain.original(&quote));
            !span.range.is_empty()
        });
        Ok(spans)
    }
}

pub(super) fn kind_of(found: Found) -> &'static str {
    match found {
        Found::Password => "password",
        Found::Secret => "secret",
    }
}

/// What to try at each keyword.
fn tries(keys: &KeyWords, providers: &Providers, rules: &[Rule]) -> BTreeMap<String, Vec<Try>> {
    let mut tries: BTreeMap<String, Vec<Try>> = BTreeMap::new();
    let mut add = |keyword: &str, what: Try| {
        let keyword = keyword.to_ascii_lowercase();
        tries.entry(keyword).or_default().push(what);
    };
    // First, since it bounds what the others look at.
    keys.opaque().for_each(|word| add(word, Try::Opaque));
    for (index, rule) in rules.iter().enumerate() {
        let what = match rule.at {
            At::Token => Try::Token(index),
            At::Value => Try::Value(index),
        };
        rule.keywords.iter().for_each(|word| add(word, what));
    }
    keys.keywords().for_each(|word| add(word, Try::Key));
    let names = providers.keywords();
    names.for_each(|(word, name)| add(word, Try::Provider(name)));
    add(pem::KEYWORD, Try::Pem);
    add(manifest::KEYWORD, Try::Manifest);
    tries
}

/// Every type that a placeholder can name.
fn kinds(rules: &[Rule], markers: Vec<String>) -> BTreeSet<String> {
    let of_rules = rules.iter().map(|rule| rule.kind.as_str());
    let others = [
        BUDGET_TYPE,
        BINARY_TYPE,
        DEPTH_TYPE,
        PROVIDER_TYPE,
        IDENTITY_TYPE,
        RECORD_TYPE,
        pem::TYPE,
        manifest::TYPE,
    ];
    of_rules
        .chain([Found::Password, Found::Secret].map(kind_of))
        .chain(others)
        .chain(PiiKind::ALL.map(PiiKind::name))
        .map(str::to_owned)
        .chain(markers)
        .collect()
}
