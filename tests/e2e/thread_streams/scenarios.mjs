// What a user's program does with a thread's streams in the JS SDK: node scenarios.mjs SDK URL HEADERS NAME [ARGUMENTS]
import { pathToFileURL } from "node:url";

const [entry, apiUrl, headers, name, given] = process.argv.slice(2);
const { Client } = await import(pathToFileURL(entry));
const client = new Client({ apiUrl, apiKey: null, defaultHeaders: JSON.parse(headers) });
const HI = { messages: [{ role: "user", content: "hi", id: "h-1" }] };

const all = async (items) => {
  const found = [];
  for await (const item of items) found.push(item);
  return found;
};

const until = async (holds) => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
};

/** The parts of a thread's stream until so many runs have ended. */
const followed = async (threadId, runs, options) => {
  const parts = [];
  const stop = new AbortController();
  for await (const part of client.threads.joinStream(threadId, { ...options, signal: stop.signal })) {
    parts.push(part);
    if (part.event === "metadata" && part.data.status === "run_done" && --runs === 0) break;
  }
  stop.abort();
  return parts;
};

const scenarios = {
  async projections() {
    const thread = client.threads.stream({ assistantId: "talk" });
    const { run_id: runId } = await thread.run.start({ input: HI });
    const [values, texts, children, output] = await Promise.all([
      all(thread.values),
      all(thread.messages).then((found) => Promise.all(found.map((message) => message.text))),
      all(thread.subgraphs),
      thread.output,
    ]);
    await thread.close();
    const run = await client.runs.get(thread.threadId, runId);
    return { last: values.at(-1).notes, texts, children: children.map((one) => one.name), output: output.notes, status: run.status };
  },

  async values() {
    const thread = client.threads.stream({ assistantId: "long" });
    await thread.run.start({ input: { steps: 4, seconds: 0.02 } });
    const values = await all(thread.values);
    await thread.close();
    return values.map((value) => value.done ?? null);
  },

  async interrupt() {
    const thread = client.threads.stream({ assistantId: "human" });
    await thread.run.start({ input: { question: "go?" } });
    const told = await thread.subscribe(["values", "lifecycle", "input"]);
    await all(told); // it ends where the run stops, and goes on with it
    await until(() => thread.interrupted);
    const [asked] = thread.interrupts;
    await thread.input.respond({ interrupt_id: asked.interruptId, namespace: asked.namespace, response: "yes" });
    const after = (await all(told)).filter((event) => event.method === "values");
    await thread.close();
    return { payload: asked.payload, last: after.at(-1).params.data };
  },

  async failure() {
    const thread = client.threads.stream({ assistantId: "talk" });
    await thread.run.start({ input: { ...HI, fail: true } });
    const told = [];
    for await (const event of await thread.subscribe(["lifecycle"])) {
      told.push(event.params.data);
      if (event.params.namespace.length === 0 && event.params.data.event === "failed") break;
    }
    const values = await all(thread.values);
    await thread.close();
    return { error: told.at(-1).error, last: values.at(-1).notes };
  },

  async tools() {
    const told = [];
    for (const content of ["search oslo", "refuse oslo"]) {
      const thread = client.threads.stream({ assistantId: "tooled" });
      await thread.run.start({ input: { messages: [{ role: "user", content }] } });
      const calls = new Map((await all(thread.toolCalls)).map((call) => [call.callId, call])); // it comes at its start and its end
      for (const { name, input, output } of calls.values()) {
        told.push({ name, input, ...(await output.then((found) => ({ output: found }), (error) => ({ error: error.message }))) });
      }
      await thread.close();
    }
    return told;
  },

  async refused() {
    const thread = client.threads.stream({ assistantId: "nope" });
    try {
      await thread.run.start({ input: {} });
    } catch (error) {
      return error.message;
    } finally {
      await thread.close();
    }
  },

  async later() {
    const first = client.threads.stream({ assistantId: "long" });
    await first.run.start({ input: { steps: 5, seconds: 0.05 } });
    const later = client.threads.stream(first.threadId, { assistantId: "long" });
    const values = await all(later.values);
    await Promise.all([first.close(), later.close()]);
    return values.map((value) => value.done ?? null);
  },

  async twice() {
    const thread = client.threads.stream({ assistantId: "long" });
    await thread.run.start({ input: { steps: 2, seconds: 0.02 } });
    const told = await thread.subscribe(["values", "lifecycle"]);
    const first = await all(told);
    await thread.run.start({ input: { steps: 4, seconds: 0.02 } });
    const second = await all(told);
    await thread.close();
    return [first, second].map((run) => run.filter((one) => one.method === "values").map((one) => one.params.data.done ?? null));
  },

  async joined() {
    const { threadId } = JSON.parse(given);
    const whole = await followed(threadId, 2, { lastEventId: "-" });
    const rests = [];
    for (const [place, part] of whole.slice(0, -1).entries()) {
      const left = whole.slice(place + 1).filter((one) => one.data.status === "run_done").length;
      rests.push(await followed(threadId, left, { lastEventId: part.id }));
    }
    return { whole, rests };
  },
};

console.log(JSON.stringify((await scenarios[name]()) ?? null));
process.exit(0);
