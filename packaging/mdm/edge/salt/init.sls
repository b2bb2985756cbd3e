# The fieldpost edge, and Claude told to export to it. Pillar: fieldpost:endpoint, fieldpost:token.
fieldpost-edge:
  pkg.installed: []

/etc/fieldpost/edge.toml:
  file.managed:
    - user: root
    - group: root
    - mode: '0644'
    - contents: |
        [upstream]
        endpoint = "{{ pillar['fieldpost']['endpoint'] }}"
        token_file = "/etc/fieldpost/token"
    - require:
      - pkg: fieldpost-edge

# From version 247 on systemd reads the token as root, and hands the daemon a copy; before, the daemon reads the file.
/etc/fieldpost/token:
  file.managed:
    - user: root
    - group: "{{ 'root' if grains.get('systemd', {}).get('version', '247') | int >= 247 else 'fieldpost' }}"
    - mode: "{{ '0600' if grains.get('systemd', {}).get('version', '247') | int >= 247 else '0640' }}"
    - contents_pillar: fieldpost:token
    - show_changes: false
    - require:
      - pkg: fieldpost-edge

/etc/claude-code/managed-settings.d/10-fieldpost.json:
  file.managed:
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: true
    - contents: |
        {
          "env": {
            "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1,localhost,::1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
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

fieldpost-edge.socket:
  service.running:
    - enable: true
    - require:
      - file: /etc/fieldpost/edge.toml

fieldpost-edge-token.path:
  service.running:
    - enable: true
    - require:
      - service: fieldpost-edge.socket

fieldpost-edge.service:
  service.running:
    - enable: true
    - require:
      - service: fieldpost-edge.socket
