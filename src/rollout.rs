//! What Claude must be told so that it exports, for every way in which a fleet tells it.
//!
//! One list of variables (the names are Claude Code's and OpenTelemetry's own), and the texts that carry
//! them. The command line prints them, the portal shows them, and the files below `packaging/mdm` are
//! them: a test compares.

mod format;
mod texts;

pub use self::format::{Format, UnknownFormat};

/// Loopback is reached directly, whatever proxy there is: Claude's exporter honors proxies for it too.
const LOOPBACK: &str = "127.0.0.1,localhost,::1";

/// Where an administrator's files for Claude Code lie, below the root.
pub const POLICY: &str = match (cfg!(target_os = "macos"), cfg!(windows)) {
    (true, _) => "Library/Application Support/ClaudeCode",
    (_, true) => r"Program Files\ClaudeCode",
    _ => "etc/claude-code",
};

/// The file among them that tells Claude to export.
pub const POLICY_DROP_IN: &str = "managed-settings.d/10-fieldpost.json";

/// Stands where a token belongs; the fleet's tool puts it there from its own store of secrets.
pub const TOKEN_PLACEHOLDER: &str = "REPLACE_WITH_TOKEN";

/// Stands where the central service's address belongs.
pub const CENTRAL_PLACEHOLDER: &str = "https://otel.example.com/v1/claude-cowork/otel";

/// The file of one's own in which a person keeps the header for a trial without an edge.
const HEADER_FILE: &str = "$HOME/.fieldpost-header";

/// Where Claude exports to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To the edge on the machine, which holds the token.
    Edge,
    /// Straight to the central service, with the token in Claude's own configuration.
    Central,
}

/// One way in which Claude is told to export.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// Where to.
    pub route: Route,
    /// The OTLP endpoint without a signal's suffix: the exporter appends it.
    pub endpoint: String,
    /// Whether Claude exports what people ask and what it answers.
    pub content: bool,
    /// Whether Claude exports metrics.
    pub metrics: bool,
    /// The company's own `NO_PROXY`; loopback is added to it.
    pub no_proxy: String,
}

/// A variable and its value.
pub type Variable = (&'static str, String);

impl Rollout {
    /// Through the edge that listens at `endpoint`, such as `http://127.0.0.1:4318`.
    pub fn edge(endpoint: &str) -> Rollout {
        Rollout::to(Route::Edge, endpoint)
    }

    /// Straight to the central service's `endpoint`, with or without the suffix `/v1/logs`.
    pub fn central(endpoint: &str) -> Rollout {
        Rollout::to(Route::Central, endpoint)
    }

    fn to(route: Route, endpoint: &str) -> Rollout {
        let endpoint = endpoint.trim_end_matches('/');
        let endpoint = endpoint.strip_suffix("/v1/logs").unwrap_or(endpoint);
        Rollout {
            route,
            endpoint: endpoint.to_owned(),
            content: false,
            metrics: true,
            no_proxy: String::new(),
        }
    }

    /// The variables, for a configuration that says all there is to say.
    pub fn variables(&self) -> Vec<Variable> {
        let mut variables = self.switches();
        let content = if self.content { "1" } else { "0" };
        variables.push(("OTEL_LOG_USER_PROMPTS", content.to_owned()));
        variables.push(("OTEL_LOG_ASSISTANT_RESPONSES", content.to_owned()));
        variables.push(("OTEL_LOG_TOOL_DETAILS", "1".to_owned()));
        let named = [
            "OTEL_METRICS_INCLUDE_VERSION",
            "OTEL_METRICS_INCLUDE_ENTRYPOINT",
            "OTEL_METRICS_INCLUDE_REPOSITORY",
        ];
        variables.extend(named.map(|name| (name, "true".to_owned())));
        variables
    }

    /// The text of `format`.
    pub fn render(&self, format: Format) -> String {
        texts::render(self, format)
    }

    /// What makes Claude export at all, and where to.
    fn switches(&self) -> Vec<Variable> {
        let metrics = if self.metrics { "otlp" } else { "none" };
        let mut variables = vec![
            ("CLAUDE_CODE_ENABLE_TELEMETRY", "1".to_owned()),
            ("OTEL_LOGS_EXPORTER", "otlp".to_owned()),
            ("OTEL_METRICS_EXPORTER", metrics.to_owned()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json".to_owned()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", self.endpoint.clone()),
        ];
        match self.route {
            Route::Edge => variables.push(("NO_PROXY", self.merged_no_proxy())),
            Route::Central => variables.push((
                "OTEL_EXPORTER_OTLP_HEADERS",
                format!("Authorization=Bearer {TOKEN_PLACEHOLDER}"),
            )),
        }
        variables
    }

    fn merged_no_proxy(&self) -> String {
        let company = self.no_proxy.split(',').map(str::trim);
        let is_new = |exception: &&str| {
            !exception.is_empty() && !LOOPBACK.split(',').any(|host| host == *exception)
        };
        let all = company.filter(is_new).chain([LOOPBACK]);
        all.collect::<Vec<_>>().join(",")
    }
}

/// The smallest configuration of an edge that forwards to `endpoint`, the full address for logs.
pub fn edge_configuration(endpoint: &str) -> String {
    format!("[upstream]\nendpoint = \"{endpoint}\"\ntoken_file = \"/etc/fieldpost/token\"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_that_the_exporter_appends_is_taken_off_and_loopback_is_added_to_the_proxys_exceptions()
     {
        let direct = Rollout::central("https://otel.example.com/v1/claude-cowork/otel/v1/logs");
        assert_eq!(direct.endpoint, CENTRAL_PLACEHOLDER);
        let mut edge = Rollout::edge("http://127.0.0.1:4318/");
        assert_eq!(edge.endpoint, "http://127.0.0.1:4318");
        assert_eq!(edge.merged_no_proxy(), LOOPBACK);
        edge.no_proxy = ".corp.example.com,".to_owned();
        assert_eq!(
            edge.merged_no_proxy(),
            ".corp.example.com,127.0.0.1,localhost,::1"
        );
        // What was merged once stays as it is.
        edge.no_proxy = edge.merged_no_proxy();
        assert_eq!(edge.merged_no_proxy(), edge.no_proxy);
    }

    #[test]
    fn nothing_for_the_edge_holds_a_header_and_nothing_for_central_a_real_token() {
        for format in Format::ALL {
            let edge = Rollout::edge("http://127.0.0.1:4318").render(format);
            assert!(!edge.contains("Authorization"), "{}", format.name());
            let central = Rollout::central(CENTRAL_PLACEHOLDER).render(format);
            assert!(!central.contains("eyJ"), "{}", format.name());
        }
    }
}
