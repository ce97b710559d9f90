// node use_stream.mjs FOLDER PACKAGE URL HEADERS NAME OPTIONS: takes the hook `useStream` of a package, rendered without a
// page, through a scenario, and prints what was shown. FOLDER has the node_modules.
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, name, apiUrl, headers, scenario, given] = process.argv.slice(2);
const require = createRequire(join(folder, "from-here.js"));
const { createElement, useState } = require("react");
const TestRenderer = require("react-test-renderer");
const { useStream, useChannelEffect, useMessageMetadata } = require(name);
const defaultHeaders = JSON.parse(headers);
globalThis.IS_REACT_ACT_ENVIRONMENT = true;

const options = JSON.parse(given);
const stored = new Map(options.stored);
const sessionStorage = {
  getItem: (key) => stored.get(key) ?? null,
  setItem: (key, value) => void stored.set(key, value),
  removeItem: (key) => void stored.delete(key),
};
globalThis.window = { sessionStorage };

const posts = [];
const { fetch } = globalThis;
globalThis.fetch = (url, options) => {
  if (options?.method?.toUpperCase() === "POST") posts.push(new URL(url).pathname.replace(/^\/threads\/[^/]+/, ""));
  return fetch(url, options);
};

let stream;
const seen = [];
const updated = [];
const noted = new Map();

const textOf = ({ content }) => (typeof content === "string" ? content : content.map((block) => block.text).join(""));
const shown = (message) => `${message.type}:${textOf(message)}`;

/** What the newer hook knows of a message; the older one is asked. */
function Noted({ id }) {
  noted.set(id, useMessageMetadata(stream, id));
  return null;
}

function Page({ assistantId, threadId }) {
  const [id, setId] = useState(threadId);
  stream = useStream({
    apiUrl,
    defaultHeaders,
    assistantId,
    threadId: id,
    onThreadId: setId,
    messagesKey: "messages",
    fetchStateHistory: true,
    reconnectOnMount: true,
    onUpdateEvent: (update) => updated.push(...Object.keys(update)),
  });
  useChannelEffect?.(stream, ["updates"], { replay: true, onEvent: (event) => updated.push(event.params.data.node) });
  stream.shownThread = id;
  const text = stream.messages.map(shown).join("|");
  if (seen.at(-1) !== text) seen.push(text);
  return useMessageMetadata ? stream.messages.map((message) => createElement(Noted, { key: message.id, id: message.id })) : null;
}

const { act } = TestRenderer;
let page;
const open = (assistantId, threadId) =>
  act(async () => void (page = TestRenderer.create(createElement(Page, { assistantId, threadId }))));
const close = () => act(async () => page.unmount());
const submit = (input, options) => act(async () => void Promise.resolve(stream.submit(input, options)).catch(() => {}));
const say = (content, more, options) => submit({ messages: [{ type: "human", content }], ...more }, options);
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

/** The page once the model has answered so. */
const answered = (text) => settled(`the answer is ${text}`, () => seen.at(-1).endsWith(`|ai:${text}`));

/** The states in a row, and the branches behind them. */
const shapeOf = ({ items }) => items.map((item) => (item.type === "fork" ? item.items.map(shapeOf) : item.value.metadata.step));

const said = (text) => stream.messages.find((message) => textOf(message) === text);

/** Where a run has to begin, so that it comes in the place of a message. */
function before(text) {
  const { id } = said(text);
  if (noted.has(id)) return { forkFrom: noted.get(id).parentCheckpointId };
  return { checkpoint: stream.getMessagesMetadata(said(text)).firstSeenState.parent_checkpoint };
}

const scenarios = {
  async conversation() {
    const out = {};
    await open("talk", null);
    await say("hi", { ask: true });
    await settled("the run asks", () => stream.interrupt != null);
    out.interrupt = stream.interrupt.value;
    out.tokens = seen.some((text) => text.includes("ai:well said indeed") && !text.includes("ai:bye"));
    await answer("yes");
    await settled("the answer is taken", () => stream.values.notes.at(-1) === "closed" && seen.at(-1).includes("|ai:bye"));
    out.answered = stream.interrupt ?? null;
    out.messages = seen.at(-1).split("|").sort();
    out.notes = stream.values.notes;

    await say("again", { ask: false });
    await settled("the second run ends", () => stream.values.notes.length > out.notes.length && stream.values.notes.at(-1) === "closed");

    await say("fail", { fail: true });
    await settled("the failure is shown", () => stream.error != null);
    out.error = stream.error.message;

    const thread = stream.shownThread;
    await close();
    seen.length = 0;
    await open("talk", thread);
    await until("the conversation is shown again", () => seen.at(-1)?.includes("human:fail"));
    out.reopened = ["human:hi", "ai:bye", "human:again"].every((one) => seen.at(-1).includes(one));
    await close();
    return out;
  },

  /** A question is asked anew, and an answer made anew; the older hook can show what was there before. */
  async branched() {
    const { edited, turn } = options;
    const out = { told: [] };
    const tell = () => out.told.push(stream.messages.map(textOf));
    await open("agent", null);
    await say("one");
    await answered("You said: one (turn 1)");
    await say("two");
    await answered("You said: two (turn 2)");
    await say("other", {}, before(edited));
    await answered(`You said: other (turn ${turn})`);
    tell();
    if (stream.setBranch) {
      out.tree = shapeOf(stream.experimental_branchTree);
      const { branch, branchOptions } = stream.getMessagesMetadata(said("other"));
      out.place = [branchOptions.indexOf(branch), branchOptions.length];
      await act(async () => stream.setBranch(branchOptions[0]));
      tell();
    }
    const last = stream.messages.at(-1);
    await submit(null, before(textOf(last)));
    await settled("the answer is another", () => textOf(stream.messages.at(-1)) === textOf(last) && stream.messages.at(-1).id !== last.id);
    tell();
    const states = await stream.client.threads.getHistory(stream.shownThread, { limit: 100 });
    const parents = states.map((state) => state.parent_checkpoint?.checkpoint_id);
    out.forks = parents.filter((parent, place) => parents.indexOf(parent) !== place).length;
    await close();
    return out;
  },

  /** Tools are called; each hook has its own words for that. */
  async tooled() {
    const out = [];
    await open("tooled", null);
    for (const content of ["search oslo", "refuse oslo"]) {
      await say(content);
      await settled("the tool has ended", () => stream.toolCalls.length > out.length && stream.messages.at(-1).type === "tool");
      const { call, name, input, result, output } = stream.toolCalls.at(-1);
      out.push(call ? [call.name, call.args, textOf(result)] : [name, input, output]);
    }
    await close();
    return out;
  },

  /** A page that is gone in the midst of a run, which waits for a file. */
  async left() {
    await open("log", null);
    await submit({ n: 2, until: options.gate });
    await until("the run is under way", () => stream.isLoading && stream.values.left === 2);
    return { thread: stream.shownThread, stored: [...stored], posts };
  },

  /** The same page opened anew, while the run goes on. */
  async reloaded() {
    const { thread, gate } = options;
    await open("log", thread);
    await until("the run is seen to go on", () => stream.isLoading && updated.includes("begin"));
    const before = [...updated];
    writeFileSync(gate, "");
    await settled("the run ends", () => stream.values.left === 0);
    const out = { before, updated, entries: stream.values.entries, posts, stored: [...stored] };
    await close();
    return out;
  },
};

console.log(JSON.stringify(await scenarios[scenario]()));
process.exit(0);
