// Waits for a run with one version of the JS SDK: node wait.mjs ENTRY URL THREAD BODY
import { pathToFileURL } from "node:url";

const [entry, apiUrl, thread, body] = process.argv.slice(2);
const { Client } = await import(pathToFileURL(entry));
const { assistant_id, ...options } = JSON.parse(body);
const client = new Client({ apiUrl, apiKey: null });
console.log(JSON.stringify(await client.runs.wait(thread, assistant_id, options)));
