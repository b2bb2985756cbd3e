"""Posts one record after the other, as Claude's exporter does: on one connection that is kept, and never
a request twice. Writes down how many were taken, and each that was lost. Ends on SIGTERM.
"""
import http.client
import json
import signal
import sys
import time

is_over = False


def stop(*_):
    global is_over
    is_over = True


signal.signal(signal.SIGTERM, stop)
counts, result = sys.argv[1:3]
taken, lost, slowest = 0, [], 0.0
connection = None
while not is_over:
    number = taken + len(lost)
    text = lambda key, value: {"key": key, "value": {"stringValue": value}}
    record = {
        "timeUnixNano": str(time.time_ns()),
        "body": {"stringValue": "claude_code.user_prompt"},
        "attributes": [
            text("event.name", "user_prompt"),
            text("session.id", "11111111-2222-4333-8444-555555555555"),
            text("user.email", "ada@example.com"),
            text("prompt", f"request {number}"),
        ],
    }
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})
    began = time.monotonic()
    try:
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", 4318, timeout=10)
        connection.request("POST", "/v1/logs", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        if answer.status == 200:
            taken += 1
        else:
            lost.append(f"{number}: {answer.status}")
        if answer.will_close:
            connection.close()
            connection = None
    except Exception as error:
        lost.append(f"{number}: {error!r}")
        connection = None
    slowest = max(slowest, time.monotonic() - began)
    if number % 10 == 0:
        with open(counts, "w") as file:
            file.write(str(taken))
with open(result, "w") as file:
    json.dump({"taken": taken, "lost": lost, "slowest_seconds": round(slowest, 3)}, file)
