# Claude told to export straight to the central service. Every user of the machine can read Claude's
# policy, and the token in it: through an edge no file that Claude reads holds one. Pillar: fieldpost:token.
/etc/claude-code/managed-settings.d/10-fieldpost.json:
  file.managed:
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: true
    - show_changes: false
    - contents: |
        {
          "env": {
            "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://otel.example.com/v1/claude-cowork/otel",
            "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer {{ pillar['fieldpost']['token'] }}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_LOG_ASSISTANT_RESPONSES": "0",
            "OTEL_LOG_TOOL_DETAILS": "1",
            "OTEL_LOG_USER_PROMPTS": "0",
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_METRICS_INCLUDE_ENTRYPOINT": "true",
            "OTEL_METRICS_INCLUDE_REPOSITORY": "true",
            "OTEL_METRICS_INCLUDE_VERSION": "true"
          }
        }
