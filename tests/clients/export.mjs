// Exports log records with OpenTelemetry's JavaScript exporter, the one that Claude embeds.
//
//   node export.mjs json|proto < records.json
//
// The working directory holds node_modules. OTEL_EXPORTER_OTLP_LOGS_ENDPOINT and its siblings say where to and
// how. Standard input is a list of {"time_unix_ms", "body", "attributes"}. Ends with 0 only if every request was
// reported as successful.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.cwd(), "package.json"));
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { BatchLogRecordProcessor, LoggerProvider } = require("@opentelemetry/sdk-logs");

const packages = {
  json: "@opentelemetry/exporter-logs-otlp-http",
  proto: "@opentelemetry/exporter-logs-otlp-proto",
};
const { OTLPLogExporter } = require(packages[process.argv[2]]);

const exporter = new OTLPLogExporter();
const results = [];
const send = exporter.export.bind(exporter);
exporter.export = (records, done) =>
  send(records, (result) => {
    results.push(result);
    done(result);
  });

const provider = new LoggerProvider({
  resource: resourceFromAttributes({ "service.name": "claude-code", "service.version": "2.1.197" }),
  processors: [new BatchLogRecordProcessor(exporter)],
});
const logger = provider.getLogger("com.anthropic.claude_code.events", "2.1.197");
for (const { time_unix_ms, body, attributes } of JSON.parse(readFileSync(0, "utf8"))) {
  const time = new Date(time_unix_ms); // A bare number from before this process would count as an offset.
  logger.emit({ timestamp: time, observedTimestamp: time, body, attributes });
}
await provider.forceFlush().catch(() => {}); // A failed request is in `results` too.
await provider.shutdown();

for (const { error } of results) {
  if (error) console.error(`export failed: ${error.code ?? ""} ${error.message}`);
}
process.exit(results.length > 0 && results.every(({ code }) => code === 0) ? 0 : 1);
