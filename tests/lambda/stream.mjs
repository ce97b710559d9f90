// Streams a run with one version of the JS SDK, or joins the stream of one: node stream.mjs ENTRY URL THREAD BODY [RUN]
import { pathToFileURL } from "node:url";

const [entry, apiUrl, thread, body, run] = process.argv.slice(2);
const { Client } = await import(pathToFileURL(entry));
const { assistant_id, ...options } = JSON.parse(body);
const client = new Client({ apiUrl, apiKey: null });
const parts = run
  ? client.runs.joinStream(thread, run, options)
  : client.runs.stream(thread === "null" ? null : thread, assistant_id, options);
for await (const { event, data, id } of parts) console.log(JSON.stringify({ event, data, id }));
