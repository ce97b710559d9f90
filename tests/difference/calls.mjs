// node calls.mjs ENTRY URL CALLS: makes calls of the JS SDK one after another, and prints what each returned as a line of JSON.
// CALLS is a list of [method, ...arguments]; {"$": [n, ...path]} in an argument stands for a part of what call n returned.
import { pathToFileURL } from "node:url";

const [entry, apiUrl, calls] = process.argv.slice(2);
const { Client } = await import(pathToFileURL(entry));
const client = new Client({ apiUrl, apiKey: null, callerOptions: { maxRetries: 0 } });
const returned = [];

function filled(value) {
  if (Array.isArray(value)) return value.map(filled);
  if (value === null || typeof value !== "object") return value;
  if ("$" in value) return value.$.slice(1).reduce((part, name) => part[name], returned[value.$[0]]);
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, filled(part)]));
}

async function made(method, args) {
  const path = method.split(".");
  const name = path.pop();
  const owner = path.reduce((part, one) => part[one], client);
  const result = owner[name](...args);
  if (result?.[Symbol.asyncIterator] === undefined) return await result;
  const parts = [];
  for await (const { event, data } of result) parts.push({ event, data });
  return parts;
}

for (const [method, ...args] of JSON.parse(calls)) {
  try {
    returned.push((await made(method, filled(args))) ?? null);
    console.log(JSON.stringify({ status: 200, value: returned.at(-1) }));
  } catch (error) {
    const status = error.status ?? error.response?.status;
    if (status === undefined) throw error;
    returned.push(null);
    console.log(JSON.stringify({ status, value: null }));
  }
}
