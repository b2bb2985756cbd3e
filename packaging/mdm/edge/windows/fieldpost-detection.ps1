# Intune: done means exit code 0 and a line on standard output.
$key = 'HKLM:\SOFTWARE\Policies\ClaudeCode'
$wanted = [ordered]@{
    'CLAUDE_CODE_ENABLE_TELEMETRY' = '1'
    'OTEL_LOGS_EXPORTER' = 'otlp'
    'OTEL_METRICS_EXPORTER' = 'otlp'
    'OTEL_EXPORTER_OTLP_PROTOCOL' = 'http/json'
    'OTEL_EXPORTER_OTLP_ENDPOINT' = 'http://127.0.0.1:4318'
    'NO_PROXY' = '127.0.0.1,localhost,::1'
    'OTEL_LOG_USER_PROMPTS' = '0'
    'OTEL_LOG_ASSISTANT_RESPONSES' = '0'
    'OTEL_LOG_TOOL_DETAILS' = '1'
    'OTEL_METRICS_INCLUDE_VERSION' = 'true'
    'OTEL_METRICS_INCLUDE_ENTRYPOINT' = 'true'
    'OTEL_METRICS_INCLUDE_REPOSITORY' = 'true'
}
$policy = (Get-ItemProperty -Path $key -Name 'Settings' -ErrorAction SilentlyContinue).Settings
if (-not $policy) { exit 1 }
$settings = $policy | ConvertFrom-Json
foreach ($name in $wanted.Keys) {
    # A token and a proxy's exceptions differ between machines.
    if ($name -in 'OTEL_EXPORTER_OTLP_HEADERS', 'NO_PROXY') { continue }
    if ($settings.env.$name -ne $wanted[$name]) { exit 1 }
}
Write-Output 'fieldpost: Claude exports to http://127.0.0.1:4318'
exit 0
