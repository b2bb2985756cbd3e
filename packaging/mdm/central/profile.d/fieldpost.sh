# Fallback for programs that do not read Claude's managed settings. Login shells only.
# Each account keeps its own header, readable by nobody else, in ~/.fieldpost-header.
export CLAUDE_CODE_ENABLE_TELEMETRY=1
export OTEL_LOGS_EXPORTER=otlp
export OTEL_METRICS_EXPORTER=otlp
export OTEL_EXPORTER_OTLP_PROTOCOL=http/json
export OTEL_EXPORTER_OTLP_ENDPOINT=https://otel.example.com/v1/claude-cowork/otel
OTEL_EXPORTER_OTLP_HEADERS="Authorization=$(cat "$HOME/.fieldpost-header")"
export OTEL_EXPORTER_OTLP_HEADERS
