// node use_stream.mjs FOLDER PACKAGE URL HEADERS: takes the hook `useStream` of a package, rendered without a page, through a
// conversation with the graph `talk`, and prints what was shown. FOLDER has the node_modules.
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, name, apiUrl, headers] = process.argv.slice(2);
const require = createRequire(join(folder, "from-here.js"));
const { createElement, useState } = require("react");
const TestRenderer = require("react-test-renderer");
const { useStream } = require(name);
const defaultHeaders = JSON.parse(headers);
globalThis.IS_REACT_ACT_ENVIRONMENT = true;

let stream;
const seen = [];

const shown = ({ type, content }) => `${type}:${typeof content === "string" ? content : content.map((block) => block.text).join("")}`;

function Page({ threadId }) {
  const [id, setId] = useState(threadId);
  stream = useStream({
    apiUrl,
    defaultHeaders,
    assistantId: "talk",
    threadId: id,
    onThreadId: setId,
    messagesKey: "messages",
    fetchStateHistory: true,
  });
  stream.shownThread = id;
  const text = stream.messages.map(shown).join("|");
  if (seen.at(-1) !== text) seen.push(text);
  return null;
}

const { act } = TestRenderer;
let page;
const open = (threadId) => act(async () => void (page = TestRenderer.create(createElement(Page, { threadId }))));
const close = () => act(async () => page.unmount());
const say = (content, more) =>
  act(async () => void Promise.resolve(stream.submit({ messages: [{ type: "human", content }], ...more })).catch(() => {}));
const answer = (value) =>
  act(async () => (stream.respond ? stream.respond(value) : void stream.submit(undefined, { command: { resume: value } })));

async function until(what, condition) {
  for (let look = 0; look < 600; look++) {
    if (condition()) return;
    await act(() => new Promise((resolve) => setTimeout(resolve, 20)));
  }
  console.error(JSON.stringify({ seen, loading: stream.isLoading, error: String(stream.error), values: stream.values }));
  throw new Error(`never happened: ${what}`);
}

// The state of a run is shown a moment before its end, and a hook that is told to go on between the two mixes them up.
async function settled(what, condition) {
  let calm = 0;
  await until(what, () => (calm = condition() && !stream.isLoading ? calm + 1 : 0) > 10);
}

const out = {};
await open(null);
await say("hi");
await settled("the run ends", () => seen.at(-1).includes("|ai:bye"));
out.tokens = seen.some((text) => text.includes("ai:well said indeed") && !text.includes("ai:bye"));
out.messages = seen.at(-1).split("|").sort();
out.notes = stream.values.notes;

await say("again", { ask: true });
await settled("the run asks", () => stream.interrupt != null);
out.interrupt = stream.interrupt.value;
await answer("yes");
await settled("the answer is taken", () => stream.values.notes.includes("asked yes") && stream.values.notes.at(-1) === "closed");
out.answered = [stream.values.notes.slice(-2), stream.interrupt ?? null];

await say("fail", { fail: true, ask: false });
await settled("the failure is shown", () => stream.error != null);
out.error = stream.error.message;

const thread = stream.shownThread;
await close();
seen.length = 0;
await open(thread);
await until("the conversation is shown again", () => seen.at(-1)?.includes("human:fail"));
out.reopened = ["human:hi", "ai:bye", "human:again"].every((one) => seen.at(-1).includes(one));
await close();
console.log(JSON.stringify(out));
process.exit(0);
