//! Requests in the shape of Claude's, of 50 records of about 1 KB.

use serde_json::{Value, json};

use super::disk::noise;

/// Records in one request.
pub(crate) const RECORDS: usize = 50;

const WORDS: &str = "the file has a test for this case and it fails because a value that was read from \
    the request is empty so we look at the parser first then change how it reads the header run cargo \
    test again look at src/parser.rs line 214 where next_token returns None for an empty input fix it \
    by a match on Some(token) with a default keep the public function as it is add a test case named \
    empty_input_is_no_token update the changelog git status git diff commit with a message that says \
    why grep -rn pattern src | head read the output listing error warning unused variable result \
    package version dependency build release server client socket timeout retry queue";

/// The body of the request with this number.
pub(crate) fn body(number: usize) -> String {
    let mut dice = Dice::new(number);
    let session = dice.uuid();
    let records: Vec<Value> = (0..RECORDS)
        .map(|at| record(&mut dice, &session, at))
        .collect();
    json!({"resourceLogs": [{
        "resource": {"attributes": attributes(vec![
            ("host.arch", json!("amd64")), ("os.type", json!("linux")),
            ("os.version", json!("6.8.0-31-generic")), ("service.name", json!("claude-code")),
            ("service.version", json!("2.1.197")),
        ]), "droppedAttributesCount": 0},
        "scopeLogs": [{
            "scope": {"name": "com.anthropic.claude_code.events", "version": "2.1.197"},
            "logRecords": records,
        }],
    }]})
    .to_string()
}

fn record(dice: &mut Dice, session: &str, at: usize) -> Value {
    let (event, own) = match at % 5 {
        0 => {
            let prompt = dice.prose(22);
            let length = prompt.len().to_string();
            (
                "user_prompt",
                vec![("prompt_length", json!(length)), ("prompt", json!(prompt))],
            )
        }
        1 | 3 => (
            "tool_result",
            vec![
                ("tool_name", json!("Bash")),
                ("success", json!("true")),
                ("duration_ms", json!(dice.below(9000).to_string())),
                ("tool_use_id", json!(format!("toolu_01{}", &dice.hex(11)))),
                (
                    "tool_parameters",
                    json!(format!(
                        "{{\"bash_command\":\"cd /home/ada/src/project && {}\",\"description\":\"{}\"}}",
                        dice.prose(8),
                        dice.prose(6)
                    )),
                ),
            ],
        ),
        2 => (
            "api_request",
            vec![
                ("model", json!("claude-sonnet-5")),
                ("input_tokens", json!(dice.below(9000))),
                ("output_tokens", json!(dice.below(2000))),
                ("cache_read_tokens", json!(dice.below(90_000))),
                ("cache_creation_tokens", json!(dice.below(3000))),
                ("cost_usd", json!(dice.below(99_999) as f64 / 1e6)),
                ("duration_ms", json!(dice.below(9000))),
                ("request_id", json!(format!("req_01{}", dice.hex(11)))),
            ],
        ),
        _ => (
            "tool_decision",
            vec![
                ("decision", json!("accept")),
                ("source", json!("config")),
                ("tool_name", json!("Read")),
                ("tool_use_id", json!(format!("toolu_01{}", dice.hex(11)))),
            ],
        ),
    };
    let time = 1_795_351_567_389_000_000_u64 + (at as u64) * 1_234_567;
    let mut all = vec![
        ("user.id", json!("5f2c".repeat(16))),
        ("session.id", json!(session)),
        (
            "organization.id",
            json!("99999999-8888-4777-8666-555555555555"),
        ),
        ("user.email", json!("ada@example.com")),
        (
            "user.account_uuid",
            json!("11111111-2222-4333-8444-555555555555"),
        ),
        ("terminal.type", json!("xterm-256color")),
        ("event.name", json!(event)),
        ("event.timestamp", json!("2026-11-22T12:46:07.389Z")),
        ("event.sequence", json!(at)),
        ("prompt.id", json!(dice.uuid())),
    ];
    all.extend(own);
    json!({
        "timeUnixNano": time.to_string(), "observedTimeUnixNano": time.to_string(),
        "body": {"stringValue": format!("claude_code.{event}")},
        "attributes": attributes(all), "droppedAttributesCount": 0,
    })
}

fn attributes(pairs: Vec<(&str, Value)>) -> Value {
    let typed = |value: Value| match &value {
        Value::String(_) => json!({"stringValue": value}),
        Value::Number(number) if number.is_f64() => json!({"doubleValue": value}),
        _ => json!({"intValue": value}),
    };
    pairs
        .into_iter()
        .map(|(key, value)| json!({"key": key, "value": typed(value)}))
        .collect()
}

/// Chance, the same in each run.
struct Dice {
    noise: Vec<u8>,
    at: usize,
}

impl Dice {
    fn new(seed: usize) -> Dice {
        Dice {
            noise: noise(seed, 64 << 10),
            at: 0,
        }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        self.at = (self.at + N) % (self.noise.len() - N);
        self.noise[self.at..self.at + N]
            .try_into()
            .expect("so many bytes")
    }

    fn below(&mut self, bound: u32) -> u32 {
        u32::from_be_bytes(self.bytes()) % bound
    }

    fn hex(&mut self, bytes: usize) -> String {
        (0..bytes)
            .map(|_| format!("{:02x}", self.bytes::<1>()[0]))
            .collect()
    }

    fn uuid(&mut self) -> String {
        uuid::Uuid::from_bytes(self.bytes()).to_string()
    }

    fn prose(&mut self, words: usize) -> String {
        let all: Vec<&str> = WORDS.split_whitespace().collect();
        let chosen: Vec<&str> = (0..words)
            .map(|_| all[self.below(all.len() as u32) as usize])
            .collect();
        chosen.join(" ")
    }
}
