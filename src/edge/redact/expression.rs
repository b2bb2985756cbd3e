//! The expression of a rule: compiled when it is first needed, since most rules never meet their keyword.
//!
//! `<quote>` stands for an optional quote and `<space>` for a blank, both at any depth of escapes.
//!
//! A search is anchored and short, so that none of the engines that build automata while they search would pay. Most
//! expressions never have two ways to go on and become a one-pass automaton; the others are searched by backtracking
//! that looks at no state and place twice. What a search needs to remember is kept once per thread for all expressions.
use std::{
    cell::RefCell,
    ops::Range,
    sync::{Arc, OnceLock},
};

use regex_automata::{
    Anchored, Input, PatternID,
    dfa::onepass,
    nfa::thompson::{
        self, NFA,
        backtrack::{self, BoundedBacktracker},
    },
    util::syntax,
};

/// Memory that one expression may take, compiled.
const NFA_BYTES: usize = 4 << 20;
/// Memory that its one-pass automaton may take; it would be large where a long token is counted out.
const ONEPASS_BYTES: usize = 32 << 10;
/// Memory that backtracking may take on one thread.
const VISITED_BYTES: usize = 256 << 10;
/// The whole match and the first group, each with its start and its end.
const SLOTS: usize = 4;

/// An expression, as it is written and as it is compiled.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    written: String,
    /// Bytes that one search may look at.
    reach: usize,
    compiled: OnceLock<Arc<Compiled>>,
}

/// Why an expression cannot be used.
#[derive(Debug)]
pub(super) enum Fault {
    /// It does not compile.
    Syntax(String),
    /// Nothing in it says what to cut.
    NoGroup,
}

impl Expression {
    /// Nothing is compiled yet.
    pub(super) fn new(written: String, reach: usize) -> Self {
        Self {
            written,
            reach,
            compiled: OnceLock::new(),
        }
    }

    /// Compiles it now.
    pub(super) fn compile(&self) -> Result<(), Fault> {
        if self.compiled.get().is_none() {
            // Two threads that compile at once come to the same.
            let _ = self
                .compiled
                .set(compile(&self.written, self.reach)?.into());
        }
        Ok(())
    }

    /// Whether it goes on after a blank; others end where their token does.
    pub(super) fn crosses_blanks(&self) -> bool {
        [" ", "[^", r"\s", "<space>"]
            .iter()
            .any(|sign| self.written.contains(sign))
    }

    /// The first group of a match that begins where `span` does.
    pub(super) fn group(&self, text: &[u8], span: Range<usize>) -> Option<Range<usize>> {
        let compiled = self.compiled.get_or_init(|| {
            compile(&self.written, self.reach)
                .expect("a test compiles the built-in rules, and loading those of the user's files")
                .into()
        });
        compiled.group(text, span)
    }
}

#[derive(Debug)]
struct Compiled {
    engine: Engine,
    /// No match is shorter.
    shortest: usize,
}

#[derive(Debug)]
enum Engine {
    OnePass(Box<onepass::DFA>),
    Backtrack(BoundedBacktracker),
}

/// What searches remember while they run, whichever expression they are of.
#[derive(Default)]
struct Scratch {
    onepass: Option<onepass::Cache>,
    backtrack: Option<backtrack::Cache>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Compiled {
    fn group(&self, text: &[u8], span: Range<usize>) -> Option<Range<usize>> {
        if span.len() < self.shortest {
            return None;
        }
        let mut slots = [None; SLOTS];
        let found = SCRATCH.with_borrow_mut(|scratch| match &self.engine {
            Engine::OnePass(dfa) => {
                let cache = scratch.onepass.get_or_insert_with(|| dfa.create_cache());
                cache.reset(dfa);
                let input = Input::new(text).span(span).anchored(Anchored::Yes);
                dfa.try_search_slots(cache, &input, &mut slots)
            }
            Engine::Backtrack(backtracker) => {
                let cache = scratch
                    .backtrack
                    .get_or_insert_with(|| backtracker.create_cache());
                cache.reset(backtracker);
                let input = Input::new(text).span(span).anchored(Anchored::Yes);
                backtracker.try_search_slots(cache, &input, &mut slots)
            }
        });
        // The only error is a text that is too long; compiling saw to it that it is not.
        found.ok().flatten()?;
        Some(slots[2]?.get()..slots[3]?.get())
    }
}

fn compile(written: &str, reach: usize) -> Result<Compiled, Fault> {
    let expression = written
        .replace("<quote>", r#"(?:\\*["'`])?"#)
        .replace("<space>", r"(?:\s|\\+[nrt])");
    let syntax = syntax::Config::new().unicode(false).utf8(false);
    let hir = syntax::parse_with(&expression, &syntax)
        .map_err(|error| Fault::Syntax(error.to_string()))?;
    let too_large = |error: thompson::BuildError| Fault::Syntax(error.to_string());
    let config = thompson::Config::new()
        .utf8(false)
        .nfa_size_limit(Some(NFA_BYTES));
    let nfa = NFA::compiler()
        .configure(config)
        .build_from_hir(&hir)
        .map_err(too_large)?;
    if nfa.group_info().group_len(PatternID::ZERO) < 2 {
        return Err(Fault::NoGroup);
    }
    let onepass = onepass::Config::new().size_limit(Some(ONEPASS_BYTES));
    let engine = match onepass::DFA::builder()
        .configure(onepass)
        .build_from_nfa(nfa.clone())
    {
        Ok(dfa) => Engine::OnePass(Box::new(dfa)),
        Err(_) => {
            let config = backtrack::Config::new().visited_capacity(VISITED_BYTES);
            let backtracker = BoundedBacktracker::builder()
                .configure(config)
                .build_from_nfa(nfa)
                .map_err(too_large)?;
            let most = backtracker.max_haystack_len();
            if most < reach {
                return Err(Fault::Syntax(format!(
                    "it is too large to search {reach} bytes; count less in it, or set max_len to {most} at most"
                )));
            }
            Engine::Backtrack(backtracker)
        }
    };
    Ok(Compiled {
        engine,
        shortest: hir.properties().minimum_len().unwrap_or(0),
    })
}
