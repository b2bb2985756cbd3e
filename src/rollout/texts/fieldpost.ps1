# Tells Claude Code to export its telemetry: the policy in the machine's registry.
# Run as SYSTEM (Intune: "Run this script using the logged on credentials" = No). What else the
# policy says stays.
$ErrorActionPreference = 'Stop'
$key = 'HKLM:\SOFTWARE\Policies\ClaudeCode'
$variables = [ordered]@{
@VARIABLES@}
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
