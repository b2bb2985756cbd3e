//! `fieldpost edge redact`

use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use fieldpost::config::read_file;
use fieldpost::edge::redact::{
    Finding, Hits, PiiKind, Placeholder, RedactConfig, Redactor, UnknownPii, redact_stream,
};
use fieldpost::otlp::lenient::readable;
use fieldpost::secret::random_digits;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

/// Longest line of JSON, in bytes.
const MAX_LINE: u64 = 64 << 20;

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// Read lines of JSON with `id` and `text`, other keys ignored; write lines with `id` and `out`.
    /// Each text is searched by itself.
    #[arg(long)]
    jsonl: bool,
    /// Look for personal data too: email, card, iban, phone, ssn, ip, or all of them.
    #[arg(long, value_name = "KIND,…", num_args = 0..=1, require_equals = true,
        default_missing_value = "all", value_parser = kinds)]
    pii: Option<Kinds>,
    /// Say on standard error how often each rule found something.
    #[arg(long)]
    stats: bool,
    /// Say which rule found something, and where, never what: on standard error, with --jsonl under
    /// `findings` of each line.
    #[arg(long)]
    explain: bool,
    /// List the rules in force instead: id, type, and where the rule comes from.
    #[arg(long, conflicts_with_all = ["jsonl", "stats", "explain"])]
    rules: bool,
    /// With --rules: one JSON array.
    #[arg(long, requires = "rules")]
    json: bool,
    /// Use the [redact] section of this configuration file; variables such as FIELDPOST_REDACT_RULES
    /// override its keys. Without it, the built-in rules are used. With placeholder = "hash", the key of
    /// the hashes is another one each time.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Kinds of personal data.
#[derive(Clone)]
struct Kinds(Vec<PiiKind>);

fn kinds(names: &str) -> Result<Kinds, UnknownPii> {
    match names {
        "all" => Ok(Kinds(PiiKind::ALL.to_vec())),
        names => names
            .split(',')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(Kinds),
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let redactor = arguments.redactor()?;
    for refusal in redactor.refusals() {
        eprintln!("fieldpost: {refusal}; the other rules are in force");
    }
    let done = match arguments {
        Arguments { rules: true, .. } => list_rules(&redactor, arguments.json),
        Arguments { jsonl: true, .. } => redact_lines(&redactor, arguments),
        _ => redact_text(&redactor, arguments),
    };
    match done {
        // Whoever reads has seen enough.
        Err(error) if is_broken_pipe(&error) => return Ok(()),
        done => done?,
    }
    let refused = redactor.refusals().len();
    anyhow::ensure!(refused == 0, "{refused} entries of the rules were refused");
    Ok(())
}

impl Arguments {
    fn redactor(&self) -> anyhow::Result<Redactor> {
        let mut config = self.config()?;
        if let Some(Kinds(kinds)) = &self.pii {
            config.pii.clone_from(kinds);
        }
        let redactor = Redactor::new(&config).context("the rules cannot be used")?;
        Ok(match config.placeholder {
            Placeholder::Type => redactor,
            // The machine's own key is for the daemon's eyes only.
            Placeholder::Hash => {
                redactor.with_hash_key(*blake3::hash(random_digits().as_bytes()).as_bytes())
            }
        })
    }

    fn config(&self) -> anyhow::Result<RedactConfig> {
        let Some(file) = &self.config else {
            return Ok(RedactConfig::default());
        };
        let text = read_file(file, true)?;
        RedactConfig::parse(&text, &crate::cli::variable)
            .with_context(|| format!("{} has mistakes in [redact]", file.display()))
    }
}

fn redact_text(redactor: &Redactor, arguments: &Arguments) -> anyhow::Result<()> {
    let hits = redact_stream(redactor, io::stdin().lock(), io::stdout().lock(), |block| {
        if arguments.explain {
            let mut line = block.first_line;
            let mut line_start = 0;
            let mut at = 0;
            for finding in block.findings {
                let Finding { range, rule, kind } = finding;
                let before = &block.text.as_bytes()[at..range.start];
                line += before.iter().filter(|byte| **byte == b'\n').count() as u64;
                if let Some(last) = before.iter().rposition(|byte| *byte == b'\n') {
                    line_start = at + last + 1;
                }
                at = range.start;
                let (start, end) = (range.start - line_start, range.end - line_start);
                eprintln!("line {line}, bytes {start} to {end}: {rule} ({kind})");
            }
        }
    })?;
    arguments.tell(&hits);
    Ok(())
}

#[derive(Deserialize)]
struct Line<'l> {
    #[serde(borrow)]
    id: &'l RawValue,
    text: String,
}

fn redact_lines(redactor: &Redactor, arguments: &Arguments) -> anyhow::Result<()> {
    let mut input = io::stdin().lock();
    let mut output = io::stdout().lock();
    let mut hits = Hits::default();
    let mut bytes = Vec::new();
    for number in 1_u64.. {
        bytes.clear();
        if (&mut input).take(MAX_LINE).read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        if bytes.len() as u64 == MAX_LINE {
            bail!("line {number} is longer than {MAX_LINE} bytes");
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let readable = readable(&bytes);
        let line: Line<'_> = serde_json::from_str(&readable).map_err(|error| {
            // The error itself may quote the line.
            let column = error.column();
            anyhow::anyhow!(
                "line {number}, column {column}: expected an object with `id` and a `text` in quotes"
            )
        })?;
        let (out, found) = redactor.redact_text(&line.text);
        let mut answer = json!({ "id": line.id, "out": out });
        if arguments.explain {
            let findings = redactor.findings(&line.text);
            let findings = findings.iter().map(|finding| {
                let Finding { range, rule, kind } = finding;
                json!({ "rule": rule, "type": kind, "start": range.start, "end": range.end })
            });
            answer["findings"] = findings.collect();
        }
        writeln!(output, "{answer}")?;
        hits.merge(&found);
    }
    arguments.tell(&hits);
    Ok(())
}

impl Arguments {
    fn tell(&self, hits: &Hits) {
        if !self.stats {
            return;
        }
        for (rule, kind, count) in hits.by_rule() {
            eprintln!("{count:8}  {rule} ({kind})");
        }
        eprintln!("{:8}  in all", hits.total());
    }
}

fn list_rules(redactor: &Redactor, json: bool) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    let source = |file: Option<&std::path::Path>| {
        file.map_or_else(|| "builtin".to_owned(), |file| file.display().to_string())
    };
    if json {
        let rules: Vec<_> = redactor
            .rules()
            .map(|rule| json!({ "id": rule.id, "type": rule.kind, "source": source(rule.file) }))
            .collect();
        writeln!(output, "{}", json!(rules))?;
        return Ok(());
    }
    for rule in redactor.rules() {
        writeln!(
            output,
            "{:40} {:32} {}",
            rule.id,
            rule.kind,
            source(rule.file)
        )?;
    }
    Ok(())
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
