// Watch a language model write: for models that stream.

import { stream } from "../api.js";
import { signature } from "../answer.js";
import { examples } from "../bench.js";
import { h } from "../dom.js";
import { glossary, number, say } from "../language/i18n.js";

export const kind = "write";
// [from, to, step] of the settings that language models have in common, where the schema lets them.
const SETTINGS = {
  max_tokens: [1, 500, 1],
  temperature: [0, 2, 0.05],
  top_p: [0.05, 1, 0.05],
  top_k: [0, 100, 1],
  repetition_penalty: [1, 2, 0.05],
};

export function fits({ streams, request }) {
  return streams && request.prompt?.type === "string";
}

export function build(model, bench) {
  let writing = null; // the AbortController of an answer in the making
  const prompt = h("textarea", { id: "prompt", rows: 3, maxlength: model.request.prompt.maxLength });
  const settings = Object.keys(SETTINGS)
    .filter((name) => name in model.request)
    .map((name) => setting(name, model.request[name]));
  const seed =
    "seed" in model.request
      ? h("input", { id: "seed", inputmode: "numeric", autocomplete: "off", placeholder: say("write.random") })
      : null;
  const start = h("button", { class: "primary", type: "submit" }, say("write.start"));
  const stop = h("button", { type: "button", disabled: true, onclick: () => writing?.abort() }, say("write.stop"));
  const more = h(
    "button",
    { type: "button", hidden: true, onclick: () => ((prompt.value += bench.state.result.text), write()) },
    say("write.more"),
  );

  function request() {
    const chosen = Object.fromEntries(settings.map((one) => [one.name, one.value()]));
    return {
      prompt: prompt.value,
      ...chosen,
      ...(seed?.value.trim() && { seed: /^\d+$/.test(seed.value.trim()) ? Number(seed.value) : seed.value }),
    };
  }

  function load(given) {
    prompt.value = given.prompt;
    for (const one of settings) one.load(given[one.name]);
    if (seed) seed.value = given.seed ?? "";
  }

  async function write() {
    const asked = request();
    bench.requested(asked, "stream", asked);
    writing?.abort();
    const mine = (writing = new AbortController());
    const page = paper(asked.prompt);
    const begun = performance.now();
    const result = { text: "", tokens: 0, reason: "stopped", request: asked };
    bench.state.result = result;
    busy(true);
    bench.put(page.element);
    bench.announce(say("write.writing"));
    try {
      for await (const [event, content] of stream(model.name, asked, mine.signal)) {
        if (event === "text") {
          result.text += content.text;
          page.add(content.text);
        } else if (event === "done")
          Object.assign(result, { reason: content.finish_reason, tokens: content.usage?.completion_tokens });
        else if (event === "error") throw new Error(content.detail);
      }
    } catch (error) {
      if (mine !== writing) return;
      if (error.name !== "AbortError") {
        busy(false);
        return bench.fail(error);
      }
    }
    if (mine !== writing) return;
    result.seconds = (performance.now() - begun) / 1000;
    busy(false);
    bench.put(written(result), signature(model, {}));
    bench.announce(say(`write.${result.reason}`));
  }

  function busy(is) {
    if (!is) writing = null;
    start.disabled = is;
    stop.disabled = !is;
    more.hidden = is || !bench.state.result?.text;
  }

  load({ prompt: model.examples[0].prompt, max_tokens: 300 });
  return {
    load,
    input: h(
      "form",
      { class: "stack", novalidate: true, onsubmit: (event) => (event.preventDefault(), write()) },
      h("label", { for: "prompt" }, glossary("prompt")),
      prompt,
      h("div", { class: "actions" }, start, stop, more),
      examples(
        model,
        (example) => ((prompt.value = example.prompt), write()),
        ({ prompt }) => `“${prompt.trim()}…”`,
      ),
      h(
        "details",
        { open: innerWidth > 800 },
        h("summary", {}, say("write.settings")),
        h(
          "div",
          { class: "fields" },
          settings.map((one) => one.element),
          seed && h("div", { class: "field" }, h("label", { for: "seed" }, glossary("seed")), seed),
        ),
      ),
    ),
    leave: () => writing?.abort(),
    restore: (result) => [written(result), signature(model, {})],
  };
}

/** What is being written, behind its prompt. */
function paper(prompt) {
  const text = document.createTextNode("");
  const caret = h("i", { class: "caret", "aria-hidden": "true" });
  const element = h("div", { class: "paper" }, h("span", { class: "prompt" }, prompt), text, caret);
  return { element, add: (piece) => text.appendData(piece), finish: () => caret.remove() };
}

function written(result) {
  const page = paper(result.request.prompt);
  page.add(result.text);
  page.finish();
  const speed = result.tokens
    ? say("write.speed", { tokens: number(result.tokens), rate: number(Math.round(result.tokens / result.seconds)) })
    : null;
  return h(
    "div",
    {},
    page.element,
    h("p", { class: "hint" }, [say(`write.${result.reason}`), speed].filter(Boolean).join(" · ")),
  );
}

/** A slider of SETTINGS. */
export function setting(name, schema) {
  const [low, high, step] = SETTINGS[name];
  const most = Math.min(high, schema.maximum ?? high);
  const bar = h("input", { id: `set-${name}`, type: "range", min: low, max: most, step, oninput: tell });
  const told = h("output", { for: bar.id });
  function tell() {
    told.textContent = number(Number(bar.value));
  }
  return {
    name,
    value: () => Number(bar.value),
    load(value) {
      bar.value = value ?? schema.default;
      tell();
    },
    element: h(
      "div",
      { class: "field" },
      h("div", { class: "told" }, h("label", { for: bar.id }, glossary(name)), told),
      bar,
      h("p", { class: "hint" }, say(`write.${name}`)),
    ),
  };
}
