"""Exports log records with OpenTelemetry's Python exporter.

    python export.py < records.json

OTEL_EXPORTER_OTLP_LOGS_ENDPOINT and its siblings say where to and how. Standard input is a list of
{"time_unix_ms", "body", "attributes"}. Ends with 0 only if every request was reported as successful.
"""

import json
import sys

from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.resources import Resource


class RememberingExporter(OTLPLogExporter):
    """The exporter as it is, with its verdicts kept."""

    def __init__(self):
        super().__init__()
        self.results = []

    def export(self, batch):
        self.results.append(super().export(batch))
        return self.results[-1]


exporter = RememberingExporter()
provider = LoggerProvider(
    resource=Resource.create({"service.name": "claude-code", "service.version": "2.1.197"})
)
provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
logger = provider.get_logger("com.anthropic.claude_code.events", "2.1.197")
for record in json.load(sys.stdin):
    nanoseconds = record["time_unix_ms"] * 1_000_000
    logger.emit(
        LogRecord(
            timestamp=nanoseconds,
            observed_timestamp=nanoseconds,
            body=record["body"],
            attributes=record["attributes"],
        )
    )
provider.force_flush()
provider.shutdown()

succeeded = all(result is LogRecordExportResult.SUCCESS for result in exporter.results)
sys.exit(0 if exporter.results and succeeded else 1)
