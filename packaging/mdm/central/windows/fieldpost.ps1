# Tells Claude Code to export its telemetry: the policy in the machine's registry.
# Run as SYSTEM (Intune: "Run this script using the logged on credentials" = No). What else the
# policy says stays.
$ErrorActionPreference = 'Stop'
$key = 'HKLM:\SOFTWARE\Policies\ClaudeCode'
$variables = [ordered]@{
    'CLAUDE_CODE_ENABLE_TELEMETRY' = '1'
    'OTEL_LOGS_EXPORTER' = 'otlp'
    'OTEL_METRICS_EXPORTER' = 'otlp'
    'OTEL_EXPORTER_OTLP_PROTOCOL' = 'http/json'
    'OTEL_EXPORTER_OTLP_ENDPOINT' = 'https://otel.example.com/v1/claude-cowork/otel'
    'OTEL_EXPORTER_OTLP_HEADERS' = 'Authorization=Bearer REPLACE_WITH_TOKEN'
    'OTEL_LOG_USER_PROMPTS' = '0'
    'OTEL_LOG_ASSISTANT_RESPONSES' = '0'
    'OTEL_LOG_TOOL_DETAILS' = '1'
    'OTEL_METRICS_INCLUDE_VERSION' = 'true'
    'OTEL_METRICS_INCLUDE_ENTRYPOINT' = 'true'
    'OTEL_METRICS_INCLUDE_REPOSITORY' = 'true'
}
if (-not (Test-Path $key)) { New-Item -Path $key -Force | Out-Null }
$policy = (Get-ItemProperty -Path $key -Name 'Settings' -ErrorAction SilentlyContinue).Settings
$settings = if ($policy) { $policy | ConvertFrom-Json } else { New-Object PSObject }
if (-not $settings.PSObject.Properties['env']) {
    $settings | Add-Member -NotePropertyName 'env' -NotePropertyValue (New-Object PSObject)
}
foreach ($name in $variables.Keys) {
    $settings.env | Add-Member -NotePropertyName $name -NotePropertyValue $variables[$name] -Force
}
$json = $settings | ConvertTo-Json -Depth 32 -Compress
Set-ItemProperty -Path $key -Name 'Settings' -Value $json -Type String
Write-Output 'fieldpost: the policy is set; Claude reads it when it starts'
