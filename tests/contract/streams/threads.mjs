// node threads.mjs FOLDER URL HEADERS: takes the JS SDK's `threads.stream` and `threads.joinStream` through the graph `talk`,
// and prints what came. FOLDER has the node_modules.
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, apiUrl, headers] = process.argv.slice(2);
const { Client } = createRequire(join(folder, "from-here.js"))("newest");
const client = new Client({ apiUrl, apiKey: null, defaultHeaders: JSON.parse(headers) });
const hi = { messages: [{ role: "user", content: "hi" }] };
const out = {};

async function all(source, take) {
  const found = [];
  for await (const one of source) found.push(await take(one));
  return found;
}

{
  const thread = client.threads.stream({ assistantId: "talk" });
  await thread.run.start({ input: hi });
  const reading = Promise.all([all(thread.messages, (one) => one.text), all(thread.values, (one) => one.notes)]);
  out.output = (await thread.output).notes;
  const [messages, values] = await reading;
  out.messages = messages;
  out.values = values.at(-1);
  await thread.close();
}
{
  const thread = client.threads.stream({ assistantId: "talk" });
  await thread.run.start({ input: { ...hi, ask: true } });
  await all(thread.values, () => null);
  out.interrupts = thread.interrupts.map((one) => one.payload);
  const { interruptId, namespace } = thread.interrupts[0];
  await thread.input.respond({ interrupt_id: interruptId, namespace, response: "yes" });
  const state = async () => (await client.threads.getState(thread.threadId)).values.notes;
  for (let look = 0; look < 200 && !(await state()).includes("closed"); look++) await new Promise((resolve) => setTimeout(resolve, 25));
  out.answered = await state();
  await thread.close();
}
{
  const { thread_id } = await client.threads.create();
  const abort = new AbortController();
  const events = client.threads.joinStream(thread_id, { signal: abort.signal });
  const first = events.next();
  await new Promise((resolve) => setTimeout(resolve, 500)); // it has taken up its place then
  await client.runs.wait(thread_id, "talk", { input: hi });
  const told = [(await first).value];
  while (told.at(-1).data.status !== "run_done") told.push((await events.next()).value);
  out.told = told.map((one) => one.event);
  abort.abort();
}
console.log(JSON.stringify(out));
process.exit(0);
