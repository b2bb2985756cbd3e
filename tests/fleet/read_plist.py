"""Reads the LaunchDaemon, and holds it against what launchd and this project ask of one."""
import plistlib
import sys

ALLOWED = {
    "Label", "ProgramArguments", "UserName", "GroupName", "Umask", "RunAtLoad", "KeepAlive", "ThrottleInterval",
    "ExitTimeOut", "ProcessType", "LowPriorityBackgroundIO", "SoftResourceLimits", "StandardErrorPath",
    "Sockets",
}
path = sys.argv[1]
with open(path, "rb") as file:
    daemon = plistlib.load(file)
assert set(daemon) <= ALLOWED, set(daemon) - ALLOWED
assert path.endswith(f"/{daemon['Label']}.plist"), daemon["Label"]
program = daemon["ProgramArguments"][0]
assert program.startswith("/opt/fieldpost/") and " " not in program, program
assert daemon["UserName"] == daemon["GroupName"] == "_fieldpost"
assert daemon["Umask"] == 0o077 and daemon["SoftResourceLimits"]["Core"] == 0
assert daemon["KeepAlive"] is True and daemon["RunAtLoad"] is True
# Loopback of both kinds and nothing else, by the names that the program asks for.
sockets = {name: socket["SockNodeName"] for name, socket in daemon["Sockets"].items()}
assert sockets == {"otlp4": "127.0.0.1", "otlp6": "::1"}, sockets
for socket in daemon["Sockets"].values():
    assert set(socket) == {"SockFamily", "SockNodeName", "SockServiceName", "SockType"}, socket
    assert (socket["SockServiceName"], socket["SockType"]) == ("4318", "stream"), socket
