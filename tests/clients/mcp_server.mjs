// A Model Context Protocol server on standard input and output, with two tools that answer from their arguments.
import { createInterface } from "node:readline";

const text = { type: "string" };
const tools = {
  lookup_ticket: {
    description: "Tells the state of a ticket.",
    properties: { id: text },
    answer: ({ id }) => `${id}: the build is slow (open)`,
  },
  add_note: {
    description: "Adds a note to a ticket.",
    properties: { id: text, note: text },
    answer: ({ id, note }) => `${id}: noted "${note}"`,
  },
};

const methods = {
  initialize: ({ protocolVersion }) => ({
    protocolVersion,
    capabilities: { tools: {} },
    serverInfo: { name: "tickets", version: "1.0.0" },
  }),
  ping: () => ({}),
  "tools/list": () => ({
    tools: Object.entries(tools).map(([name, { description, properties }]) => ({
      name,
      description,
      inputSchema: { type: "object", properties, required: Object.keys(properties) },
    })),
  }),
  "tools/call": ({ name, arguments: given }) => ({
    content: [{ type: "text", text: tools[name].answer(given) }],
  }),
};

// One JSON-RPC message a line; notifications have no id and get no answer. The end of input ends the server.
for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) continue;
  const outcome = methods[method]
    ? { result: methods[method](params) }
    : { error: { code: -32601, message: `no method ${method}` } };
  process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", id, ...outcome })}\n`);
}
