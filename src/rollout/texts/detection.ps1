# Intune: done means exit code 0 and a line on standard output.
$key = 'HKLM:\SOFTWARE\Policies\ClaudeCode'
$wanted = [ordered]@{
@VARIABLES@}
$policy = (Get-ItemProperty -Path $key -Name 'Settings' -ErrorAction SilentlyContinue).Settings
if (-not $policy) { exit 1 }
$settings = $policy | ConvertFrom-Json
foreach ($name in $wanted.Keys) {
    # A token and a proxy's exceptions differ between machines.
    if ($name -in 'OTEL_EXPORTER_OTLP_HEADERS', 'NO_PROXY') { continue }
    if ($settings.env.$name -ne $wanted[$name]) { exit 1 }
}
Write-Output 'fieldpost: Claude exports to @ENDPOINT@'
exit 0
