//! How fast redaction is: `cargo bench --bench redact` prints a table. Times are of one thread's CPU, so
//! that a loaded machine makes little difference; each figure is the best of several runs.
#![allow(clippy::print_stdout)]

mod adversarial;
#[path = "../records.rs"]
mod records;

use std::time::{Duration, Instant};

use fieldpost::edge::Pipeline;
use fieldpost::edge::config::Config;
use fieldpost::edge::redact::Redactor;
use fieldpost::otlp::decode::decode;
use fieldpost::otlp::route::Target;
use fieldpost::otlp::{Encoding, Signal};

use records::Generator;

/// Runs of each measurement, of which the best counts.
const RUNS: usize = 5;
/// Length of an adversarial input; the other has half of it.
const ADVERSARIAL_BYTES: usize = 2 << 20;
/// Records in one request.
const RECORDS: usize = 100;

fn main() {
    let memory_before = resident_kib();
    let memory = || match (resident_kib(), memory_before) {
        (Some(now), Some(before)) => format!("{:.1} MiB", (now - before) as f64 / 1024.0),
        _ => "unknown".to_owned(),
    };
    let start = Instant::now();
    let redactor = Redactor::builtin();
    let start_up = start.elapsed();
    let at_start = memory();
    // As a daemon gets them: one after another, none kept.
    let mut generator = Generator::new(4, 1024);
    for _ in 0..5000 {
        redactor.redact_text(&generator.content(800));
    }
    let after_records = memory();
    redactor
        .check_rules()
        .expect("the rules find their examples");
    let after_all = memory();

    println!("{:44} {:>12}  to reach", "measured", "");
    row("rules in force", &redactor.rule_count().to_string(), "");
    row(
        "start-up of the rules",
        &format!("{} ms", start_up.as_millis()),
        "150 ms",
    );
    row("memory of the rules at start", &at_start, "");
    row("after 5000 records", &after_records, "");
    row("after each rule was needed", &after_all, "30 MiB");
    values(&redactor);
    requests();
    adversarial(&redactor);
}

/// Decoded values, one after another.
fn values(redactor: &Redactor) {
    let mut generator = Generator::new(1, 1024);
    let values: Vec<String> = (0..20_000).map(|_| generator.content(800)).collect();
    let bytes: usize = values.iter().map(String::len).sum();
    let hits: u64 = values
        .iter()
        .map(|value| redactor.redact_text(value).1.total())
        .sum();
    let time = best(|| {
        values
            .iter()
            .filter(|value| redactor.redact_text(value).1.is_empty())
            .count()
    });
    row(
        "decoded values without hits",
        &rate(bytes, time),
        "250 MB/s",
    );
    row(
        "found in them although nothing was planted",
        &hits.to_string(),
        "1 per MB",
    );

    let joined = values.join("\n");
    let time = best(|| redactor.redact_text(&joined).1.total());
    row("the same as one text", &rate(joined.len(), time), "");

    let mut generator = Generator::new(2, 1024);
    let json: Vec<String> = (0..20).map(|_| generator.request(1000)).collect();
    let bytes: usize = json.iter().map(String::len).sum();
    let time = best(|| {
        json.iter()
            .map(|text| redactor.redact_text(text).1.total())
            .sum::<u64>()
    });
    row("OTLP/JSON as one text", &rate(bytes, time), "150 MB/s");

    let line = ["DB_PASSWORD='", "Gr8Lantern", "77!x' # connect and look\n"].concat();
    let every_line = line.repeat((1 << 20) / line.len());
    let time = best(|| redactor.redact_text(&every_line).1.total());
    row(
        "a hit on every line",
        &rate(every_line.len(), time),
        "20 MB/s",
    );
}

/// Whole requests: decode, identify, enrich, redact, encode.
fn requests() {
    let config = "[upstream]\nendpoint = \"http://127.0.0.1:9/v1/logs\"\n";
    let config = Config::parse(config, &|_| None).expect("a good configuration");
    let pipeline = Pipeline::new(&config, "bench", [7; 32]).expect("the built-in rules");
    let mut generator = Generator::new(3, 1024);
    let bodies: Vec<String> = (0..200).map(|_| generator.request(RECORDS)).collect();
    let records = bodies.len() * RECORDS;
    let bytes: usize = bodies.iter().map(String::len).sum();
    let target = Target::Signal(Signal::Logs);
    let run = |body: &String| {
        let decoded = decode(target, Encoding::Json, body.as_bytes()).expect("OTLP");
        pipeline.process(decoded.request).request().encode()
    };
    let left: usize = bodies
        .iter()
        .map(|body| {
            let encoded = run(body);
            let holds = |secret: &&String| {
                encoded
                    .windows(secret.len())
                    .any(|part| part == secret.as_bytes())
            };
            // Looking for every secret in every request would take minutes.
            generator
                .planted()
                .iter()
                .filter(|secret| body.contains(*secret))
                .filter(holds)
                .count()
        })
        .sum();
    let time = best(|| bodies.iter().map(|body| run(body).len()).sum::<usize>());
    let per_second = records as f64 / time.as_secs_f64();
    let size = bytes / records;
    row(
        &format!("decode, enrich, redact, encode ({size} B records)"),
        &format!("{per_second:.0} /s"),
        "40000 /s",
    );
    let planted = generator.planted().len();
    row(
        "planted secrets that were left",
        &format!("{left} of {planted}"),
        "0",
    );
}

fn adversarial(redactor: &Redactor) {
    println!();
    println!(
        "{:44} {:>12} {:>12}  to reach: 5 MB/s, 1.6 to 2.4",
        "2 MB of", "", "2 MB / 1 MB"
    );
    for (name, make) in adversarial::INPUTS {
        let whole = make(ADVERSARIAL_BYTES);
        let half = make(ADVERSARIAL_BYTES / 2);
        let time = best(|| redactor.redact_text(&whole).1.total());
        let time_of_half = best(|| redactor.redact_text(&half).1.total());
        let ratio = time.as_secs_f64() / time_of_half.as_secs_f64();
        println!("{name:44} {:>12} {ratio:>12.2}", rate(whole.len(), time));
    }
}

/// The shortest time that `work` takes.
fn best<T>(work: impl Fn() -> T) -> Duration {
    let time = || {
        let start = cpu_time();
        std::hint::black_box(work());
        cpu_time() - start
    };
    (0..RUNS).map(|_| time()).min().expect("there are runs")
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).expect("not negative"),
        u32::try_from(time.tv_nsec).expect("less than a second"),
    )
}

/// Memory of this process that is in use; unknown where there is no /proc.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

fn rate(bytes: usize, time: Duration) -> String {
    format!("{:.1} MB/s", bytes as f64 / 1e6 / time.as_secs_f64())
}

fn row(name: &str, figure: &str, to_reach: &str) {
    println!("{name:44} {figure:>12}  {to_reach}");
}
