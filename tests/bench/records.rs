//! Records such as Claude sends them, in any number, the same ones for the same seed.
//!
//! Shapes, keys and proportions of events follow the captures in `tests/fixtures/wire`; what people and
//! tools say is prose, code, paths and commands out of a small vocabulary. One record in a thousand
//! holds a secret, made up while this runs.
#![allow(dead_code, reason = "each benchmark uses a part of this")]

use serde_json::{Value, json};

/// Of this many records, one holds a secret.
const RECORDS_PER_SECRET: u64 = 1000;

/// 2026-11-20 08:00 UTC, in milliseconds.
const START_MS: u64 = 1_795_161_600_000;

/// Makes records, one after another.
pub(crate) struct Generator {
    state: u64,
    /// Records made so far.
    count: u64,
    /// About how long a record is, as OTLP/JSON.
    record_bytes: usize,
    session: String,
    user: usize,
    prompt: String,
    /// Records of this session so far.
    sequence: u64,
    planted: Vec<String>,
}

impl Generator {
    /// Records of about `record_bytes` each as OTLP/JSON; the shortest have about 1000.
    pub(crate) fn new(seed: u64, record_bytes: usize) -> Generator {
        let mut generator = Generator {
            state: seed,
            count: 0,
            record_bytes,
            session: String::new(),
            user: 0,
            prompt: String::new(),
            sequence: 0,
            planted: Vec::new(),
        };
        generator.begin_session();
        generator
    }

    /// The next `count` records as one OTLP/JSON request.
    pub(crate) fn request(&mut self, count: usize) -> String {
        let records: Vec<Value> = (0..count).map(|_| self.record()).collect();
        json!({"resourceLogs": [{
            "resource": {"attributes": [
                text("host.arch", "arm64"), text("os.type", "darwin"), text("os.version", "25.1.0"),
                text("service.name", "claude-code"), text("service.version", "2.1.197"),
            ], "droppedAttributesCount": 0},
            "scopeLogs": [{
                "scope": {"name": "com.anthropic.claude_code.events", "version": "2.1.197"},
                "logRecords": records,
            }],
        }]})
        .to_string()
    }

    /// The secrets in the records so far.
    pub(crate) fn planted(&self) -> &[String] {
        &self.planted
    }

    /// Prose, code and commands of at least so many bytes, without a secret.
    pub(crate) fn content(&mut self, bytes: usize) -> String {
        let mut content = String::with_capacity(bytes + 200);
        while content.len() < bytes {
            let part = match self.below(8) {
                0..=3 => self.prose(),
                4..=5 => self.code(),
                6 => format!("$ {}\n", self.command()),
                _ => format!("{}:{}: {}\n", self.path(), self.below(900), self.prose()),
            };
            content.push_str(&part);
        }
        content
    }

    fn record(&mut self) -> Value {
        self.count += 1;
        if self.sequence == 400 {
            self.begin_session();
        }
        let time = START_MS + self.count;
        let (event, details) = self.event();
        let mut attributes = vec![
            text("user.id", &"5f2c".repeat(16)),
            text("session.id", &self.session.clone()),
            text("organization.id", "99999999-8888-4777-8666-555555555555"),
            text("user.email", &format!("{}@example.com", NAMES[self.user])),
            text("user.account_uuid", "11111111-2222-4333-8444-555555555555"),
            text("terminal.type", "xterm-256color"),
            text("event.name", event),
            text("event.timestamp", &timestamp(time)),
            int("event.sequence", self.sequence),
            text("prompt.id", &self.prompt.clone()),
        ];
        attributes.extend(details);
        self.sequence += 1;
        let nanos = format!("{time}000000");
        json!({
            "timeUnixNano": nanos,
            "observedTimeUnixNano": nanos,
            "body": {"stringValue": format!("claude_code.{event}")},
            "attributes": attributes,
            "droppedAttributesCount": 0,
        })
    }

    /// The next event and its own attributes.
    fn event(&mut self) -> (&'static str, Vec<Value>) {
        // What a record holds beside its content, as OTLP/JSON.
        const FRAME: usize = 1150;
        let room = self.record_bytes.saturating_sub(FRAME).max(20);
        let content = room / 2 + self.up_to(room);
        match self.below(20) {
            0 => {
                self.prompt = self.uuid();
                let prompt = self.perhaps_planted(content);
                let length = prompt.len().to_string();
                (
                    "user_prompt",
                    vec![text("prompt_length", &length), text("prompt", &prompt)],
                )
            }
            1..=5 => {
                let input = json!({"command": self.command(), "description": self.prose().trim()});
                (
                    "tool_decision",
                    vec![
                        text("decision", "accept"),
                        text("source", "config"),
                        text("tool_name", "Bash"),
                        text("tool_use_id", &self.id("toolu_01")),
                        text("tool_parameters", &input.to_string()),
                    ],
                )
            }
            6..=13 => {
                let content = self.perhaps_planted(content);
                let input = match self.below(3) {
                    0 => json!({"file_path": self.path(), "content": content}),
                    1 => {
                        json!({"command": format!("{}\n{content}", self.command()), "timeout": 120_000})
                    }
                    _ => {
                        let half = content.chars().count() / 2;
                        let old: String = content.chars().take(half).collect();
                        let new: String = content.chars().skip(half).collect();
                        json!({"file_path": self.path(), "old_string": old, "new_string": new, "replace_all": false})
                    }
                };
                let input = input.to_string();
                let duration = self.below(9000).to_string();
                (
                    "tool_result",
                    vec![
                        text("tool_name", ["Write", "Bash", "Edit"][self.up_to(3)]),
                        text("tool_use_id", &self.id("toolu_01")),
                        text("success", "true"),
                        text("duration_ms", &duration),
                        text("tool_input_size_bytes", &input.len().to_string()),
                        text("tool_input", &input),
                        text("tool_result_size_bytes", "1404"),
                    ],
                )
            }
            14..=17 => (
                "api_request",
                vec![
                    text("model", "claude-sonnet-5"),
                    int("input_tokens", self.below(9000)),
                    int("output_tokens", self.below(900)),
                    int("cache_read_tokens", self.below(90_000)),
                    int("cache_creation_tokens", self.below(3000)),
                    json!({"key": "cost_usd", "value": {"doubleValue": 0.007_411_5}}),
                    int("duration_ms", self.below(9000)),
                    text("request_id", &self.id("req_011")),
                    text("speed", "normal"),
                    text("query_source", "sdk"),
                ],
            ),
            _ => {
                let response = self.perhaps_planted(content);
                (
                    "assistant_response",
                    vec![
                        int("response_length", response.len() as u64),
                        text("response", &response),
                        text("request_id", &self.id("req_011")),
                        text("model", "claude-sonnet-5"),
                        text("query_source", "sdk"),
                    ],
                )
            }
        }
    }

    /// Content; the first with room for it after every thousandth record has a secret in its middle.
    fn perhaps_planted(&mut self, bytes: usize) -> String {
        let mut content = self.content(bytes);
        if self.count / RECORDS_PER_SECRET > self.planted.len() as u64 {
            let (before, secret, after) = self.secret();
            let middle = content[..content.len() / 2].rfind(' ').unwrap_or(0);
            content.insert_str(middle, &format!("\n{before}{secret}{after}\n"));
            self.planted.push(secret);
        }
        content
    }

    /// A secret, and what stands around it.
    fn secret(&mut self) -> (String, String, &'static str) {
        let joined = |parts: [&str; 2]| parts.concat();
        match self.below(5) {
            0 => (
                String::from("export AWS_ACCESS_KEY_ID="),
                joined(["AKI", "A"]) + &self.draw(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
                "",
            ),
            1 => (
                String::from("git clone https://ci:"),
                joined(["gh", "p_"]) + &self.draw(ALPHANUMERIC, 36),
                "@github.com/acme/api.git",
            ),
            2 => (
                String::from("psql postgres://app:"),
                self.draw(ALPHANUMERIC, 18) + "7q",
                "@db.internal:5432/orders",
            ),
            3 => (
                String::from("curl -H 'Authorization: Bearer "),
                self.draw(ALPHANUMERIC, 38) + "4x",
                "' https://api.example.com/v2/orders",
            ),
            _ => (
                String::from("DB_PASSWORD='"),
                self.draw(ALPHANUMERIC, 14) + "!8",
                "'",
            ),
        }
    }

    fn begin_session(&mut self) {
        self.session = self.uuid();
        self.prompt = self.uuid();
        self.user = self.up_to(NAMES.len());
        self.sequence = 0;
    }

    fn prose(&mut self) -> String {
        let words = 6 + self.up_to(14);
        let mut sentence = String::new();
        for number in 0..words {
            if number > 0 {
                sentence.push(' ');
            }
            sentence.push_str(WORDS[self.up_to(WORDS.len())]);
        }
        sentence.push_str(". ");
        sentence
    }

    fn code(&mut self) -> String {
        let [a, b, c] = [(); 3].map(|()| WORDS[self.up_to(WORDS.len())]);
        let number = self.below(4096);
        match self.below(6) {
            0 => format!(
                "fn {a}_{b}({c}: &str) -> Option<usize> {{\n    {c}.find('{{').map(|at| at + {number})\n}}\n"
            ),
            1 => format!(
                "    def {a}_{b}(self, {c}=None):\n        return self.{b}.get(\"{c}\", {number})\n\n"
            ),
            2 => format!("const {a} = await this.{b}({{ {c}: [{number}, \"{a}\"] }});\n"),
            3 => format!(
                "SELECT {a}, count(*) FROM {b} WHERE {c} > {number} GROUP BY {a} ORDER BY 2 DESC;\n"
            ),
            4 => format!(
                "  - name: {a}-{b}\n    image: registry.example.com/{c}:1.{number}\n    replicas: 3\n"
            ),
            _ => format!(
                "if {a}.{b} == {number} {{ // {c}\n    return Err({a}Error::new(\"{b}\"));\n}}\n"
            ),
        }
    }

    fn command(&mut self) -> String {
        let path = self.path();
        let word = WORDS[self.up_to(WORDS.len())];
        match self.below(6) {
            0 => format!("rg -n --hidden '{word}' {path} | head -50"),
            1 => format!("cargo test --locked {word} -- --nocapture 2>&1 | tail -40"),
            2 => format!("git diff --stat HEAD~3 -- {path} && git log --oneline -5"),
            3 => format!("sed -n 1,120p {path}"),
            4 => format!("docker compose -f {path} up -d {word} && docker ps --format json"),
            _ => format!("python3 -m pytest -q {path} -k {word}"),
        }
    }

    fn path(&mut self) -> String {
        let [a, b, c] = [(); 3].map(|()| WORDS[self.up_to(WORDS.len())]);
        let ending = ["rs", "py", "ts", "sql", "yaml", "md"][self.up_to(6)];
        format!(
            "/Users/{}/src/acme-api/{a}/{b}/{c}.{ending}",
            NAMES[self.user]
        )
    }

    fn id(&mut self, prefix: &str) -> String {
        format!("{prefix}{}", self.draw(ALPHANUMERIC, 22))
    }

    fn uuid(&mut self) -> String {
        let [a, b] = [self.next(), self.next()];
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xfff,
            b >> 48 & 0xfff,
            b & 0xffff_ffff_ffff
        )
    }

    fn draw(&mut self, alphabet: &[u8], length: usize) -> String {
        (0..length)
            .map(|_| char::from(alphabet[self.up_to(alphabet.len())]))
            .collect()
    }

    fn up_to(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).expect("less than a usize")
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn int(key: &str, value: u64) -> Value {
    json!({"key": key, "value": {"intValue": value}})
}

fn timestamp(unix_ms: u64) -> String {
    let time = i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", time.expect("this century"))
}

const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

const NAMES: [&str; 8] = [
    "ada", "grace", "linus", "barbara", "edsger", "margaret", "dennis", "radia",
];

const WORDS: [&str; 120] = [
    "account",
    "active",
    "adapter",
    "agent",
    "amount",
    "and",
    "answer",
    "archive",
    "array",
    "attempt",
    "backend",
    "balance",
    "batch",
    "because",
    "billing",
    "branch",
    "buffer",
    "build",
    "cache",
    "change",
    "channel",
    "client",
    "cluster",
    "column",
    "commit",
    "config",
    "connection",
    "consumer",
    "context",
    "counter",
    "customer",
    "database",
    "default",
    "deploy",
    "device",
    "document",
    "does",
    "driver",
    "element",
    "endpoint",
    "error",
    "every",
    "example",
    "export",
    "failure",
    "feature",
    "field",
    "filter",
    "folder",
    "format",
    "function",
    "gateway",
    "handler",
    "header",
    "history",
    "import",
    "index",
    "input",
    "invoice",
    "is",
    "item",
    "job",
    "journal",
    "layout",
    "ledger",
    "limit",
    "list",
    "loader",
    "login",
    "machine",
    "matrix",
    "memory",
    "message",
    "method",
    "migration",
    "model",
    "module",
    "monitor",
    "network",
    "not",
    "number",
    "object",
    "offset",
    "option",
    "order",
    "output",
    "package",
    "page",
    "parser",
    "partner",
    "payload",
    "payment",
    "pipeline",
    "product",
    "profile",
    "project",
    "queue",
    "reader",
    "record",
    "region",
    "release",
    "report",
    "request",
    "result",
    "retry",
    "router",
    "schedule",
    "schema",
    "section",
    "server",
    "session",
    "should",
    "signal",
    "source",
    "status",
    "storage",
    "stream",
    "table",
    "the",
    "worker",
];
