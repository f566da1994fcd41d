// Talk to a model: for those whose requests are conversations and that stream.

import { stream } from "../api.js";
import { signature } from "../answer.js";
import { examples } from "../bench.js";
import { h } from "../dom.js";
import { say } from "../language/i18n.js";
import { setting } from "./write.js";

export const kind = "chat";
const SETTINGS = ["temperature", "max_tokens"];

export function fits({ streams, request }) {
  return streams && request.messages?.type === "array";
}

export function build(model, bench) {
  let speaking = null; // the AbortController of an answer in the making
  let said = []; // [{role, content}], without the system message
  const system = h("textarea", { id: "system", rows: 7, onchange: () => show() });
  const line = h("textarea", { id: "line", rows: 2, placeholder: say("chat.line"), onkeydown: enter });
  const settings = SETTINGS.filter((name) => name in model.request).map((name) => setting(name, model.request[name]));
  const send = h("button", { class: "primary", type: "submit" }, say("chat.send"));
  const stop = h("button", { type: "button", disabled: true, onclick: () => speaking?.abort() }, say("write.stop"));
  const again = h("button", { type: "button", onclick: repeat }, say("chat.again"));
  const clear = h("button", { type: "button", onclick: () => load({ messages: opening() }) }, say("chat.new"));

  const opening = () => (system.value.trim() ? [{ role: "system", content: system.value }] : []);

  function request() {
    const chosen = Object.fromEntries(settings.map((one) => [one.name, one.value()]));
    return { messages: [...opening(), ...said], ...chosen };
  }

  function load(given) {
    speaking?.abort();
    const [first, ...others] = given.messages;
    const told = first?.role === "system";
    system.value = told ? first.content : "";
    said = told ? others : given.messages.slice();
    for (const one of settings) if (given[one.name] !== undefined) one.load(given[one.name]);
    show();
  }

  /** Enter sends, with Shift it begins a line. Not while an input method composes a word. */
  function enter(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    speak();
  }

  function speak() {
    const content = line.value.trim();
    if (!content || speaking) return;
    line.value = "";
    said.push({ role: "user", content });
    answer();
  }

  /** Another answer to what was said last. */
  function repeat() {
    while (said.length && said.at(-1).role === "assistant") said.pop();
    if (said.length) answer();
  }

  async function answer() {
    const asked = request();
    bench.requested(asked, "stream", asked);
    const mine = (speaking = new AbortController());
    const turn = { role: "assistant", content: "" };
    const bubble = h("span", {});
    busy(true);
    show(h("li", { class: "assistant" }, bubble, h("i", { class: "caret", "aria-hidden": "true" })));
    let problem = null;
    try {
      for await (const [event, content] of stream(model.name, asked, mine.signal)) {
        if (event === "text") {
          turn.content += content.text;
          bubble.textContent = turn.content;
        } else if (event === "error") throw new Error(content.detail);
      }
    } catch (error) {
      if (error.name !== "AbortError") problem = error;
    }
    if (mine !== speaking) return;
    busy(false);
    if (problem) return bench.fail(problem);
    said.push(turn);
    show();
    bench.announce(turn.content);
    line.focus();
  }

  function busy(is) {
    if (!is) speaking = null;
    send.disabled = again.disabled = is;
    stop.disabled = !is;
  }

  function show(...more) {
    bench.state.result = { said: said.slice() };
    bench.state.request = request();
    bench.put(said.length || more.length ? conversation(said, more) : empty(), signature(model, {}));
  }

  const first = model.examples[0];
  const started = { ...first, messages: first.messages.filter(({ role }) => role === "system") };
  const form = h(
    "form",
    { class: "stack", novalidate: true, onsubmit: (event) => (event.preventDefault(), speak()) },
    h("label", { for: "line" }, say("chat.you")),
    line,
    h("div", { class: "actions" }, send, stop, again, clear),
    examples(
      model,
      (example) => (load(example), answer()),
      ({ messages }) => h("bdi", {}, messages.at(-1).content.slice(0, 30)),
    ),
    h("label", { for: "system" }, say("chat.system")),
    system,
    h("p", { class: "hint" }, say("chat.facts")),
    h("details", {}, h("summary", {}, say("write.settings")), h("div", { class: "fields" }, settings.map((one) => one.element))),
  );
  for (const one of settings) one.load(first[one.name]);
  system.value = started.messages[0]?.content ?? "";
  return {
    load,
    first: () => load(started),
    input: form,
    leave: () => speaking?.abort(),
    restore: (result) => [result.said.length ? conversation(result.said, []) : empty(), signature(model, {})],
  };
}

const empty = () => h("div", { class: "empty" }, h("p", {}, say("chat.waiting")));

/** The turns as bubbles; their text can't become markup. */
function conversation(said, more) {
  const turns = said.map(({ role, content }) => h("li", { class: role }, h("span", {}, blocks(content))));
  return h("ol", { class: "chat", "aria-live": "polite", "aria-label": say("chat.conversation") }, turns, more);
}

/** Code between fences as such, `words` and **words** within a line; the rest as it is. */
function blocks(text) {
  return text.split(/```\w*\n?([\s\S]*?)(?:```|$)/).map((part, index) => {
    if (index % 2) return h("pre", {}, h("code", {}, part));
    return part.split(/`([^`\n]+)`/).map((piece, inside) => (inside % 2 ? h("code", {}, piece) : strong(piece)));
  });
}

const strong = (text) =>
  text.split(/\*\*([^*\n]+)\*\*/).map((part, index) => (index % 2 ? h("strong", {}, part) : part));
