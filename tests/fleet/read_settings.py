"""Prints the settings for Claude that a profile or a YAML file carries, as JSON with an object `env`.

Checks on the way what only the format's own library can say.
"""
import json
import plistlib
import sys


def profile(path):
    with open(path, "rb") as file:
        profile = plistlib.load(file)
    assert profile["PayloadType"] == "Configuration" and profile["PayloadScope"] == "System"
    payloads = profile["PayloadContent"]
    uuids = [profile["PayloadUUID"]] + [payload["PayloadUUID"] for payload in payloads]
    assert len(set(uuids)) == len(uuids), "each payload has a UUID of its own"
    for payload in payloads:
        assert payload["PayloadVersion"] == 1 and payload["PayloadIdentifier"]
    types = {payload["PayloadType"] for payload in payloads}
    assert types <= {"com.anthropic.claudecode", "com.apple.servicemanagement"}, types
    settings = next(it for it in payloads if it["PayloadType"] == "com.anthropic.claudecode")
    return json.dumps({"env": settings["env"]})


def settings_in(value):
    """The text that is JSON with an object `env`, wherever it stands."""
    if isinstance(value, str) and value.lstrip().startswith("{") and '"env"' in value:
        return value
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return next(filter(None, map(settings_in, value)), None)
    return None


def yaml(path):
    import yaml

    with open(path, encoding="utf-8") as file:
        text = file.read()
    # Salt's templates are YAML once their variables stand for something.
    text = text.replace("{{ pillar['fieldpost']['endpoint'] }}", "endpoint")
    return settings_in(yaml.safe_load(text))


print({"profile": profile, "yaml": yaml}[sys.argv[1]](sys.argv[2]))
