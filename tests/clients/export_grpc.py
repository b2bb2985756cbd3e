"""Exports logs, a metric and a span with OpenTelemetry's Python exporters for gRPC.

    python export_grpc.py < records.json

OTEL_EXPORTER_OTLP_ENDPOINT and its siblings say where to and how. Standard input is a list of
{"time_unix_ms", "body", "attributes"}. Ends with 0 only if every call was reported as successful.
"""

import json
import sys

from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

results = []


def remembering(exporter):
    """The exporter as it is, with its verdicts kept."""
    export = exporter.export

    def remember(*arguments, **options):
        results.append(export(*arguments, **options))
        return results[-1]

    exporter.export = remember
    return exporter


resource = Resource.create({"service.name": "claude-code", "service.version": "2.1.197"})

logs = LoggerProvider(resource=resource)
logs.add_log_record_processor(BatchLogRecordProcessor(remembering(OTLPLogExporter())))
logger = logs.get_logger("com.anthropic.claude_code.events", "2.1.197")
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
logs.force_flush()

reader = PeriodicExportingMetricReader(
    remembering(OTLPMetricExporter()), export_interval_millis=3_600_000
)
metrics = MeterProvider(resource=resource, metric_readers=[reader])
metrics.get_meter("com.anthropic.claude_code").create_counter("claude_code.session.count").add(1)
metrics.force_flush()

traces = TracerProvider(resource=resource)
traces.add_span_processor(BatchSpanProcessor(remembering(OTLPSpanExporter())))
with traces.get_tracer("com.anthropic.claude_code.tracing").start_as_current_span("interaction"):
    pass
traces.force_flush()

good = (LogRecordExportResult.SUCCESS, MetricExportResult.SUCCESS, SpanExportResult.SUCCESS)
sys.exit(0 if len(results) >= 3 and all(result in good for result in results) else 1)
