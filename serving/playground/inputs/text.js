// Type a text and see the words that counted: for answers that tell each token's contribution.

import { bars } from "../answer.js";
import { examples } from "../bench.js";
import { h } from "../dom.js";
import { glossary, number, say } from "../language/i18n.js";

export const kind = "text";
const PAUSE = 250; // ms without a key before the model is asked
const TOP = 6; // words of either side that are listed

export function fits({ request, response }) {
  const token = response.contributions?.items?.properties;
  return request.text?.type === "string" && Boolean(token?.start && token?.end && token?.weight);
}

export function build(model, bench) {
  const box = h("textarea", {
    id: "text",
    rows: 7,
    maxlength: model.request.text.maxLength,
    placeholder: say("text.placeholder"),
    oninput: type,
  });
  let timer;

  function type() {
    clearTimeout(timer);
    const text = box.value;
    if (text.trim()) timer = setTimeout(() => ask({ text }), PAUSE);
    else bench.reset({ text });
  }

  // Explanations may cost a model many runs, and are then off unless they are asked for.
  const more = model.request.explain?.default === false ? { explain: true } : {};
  const ask = (request) => bench.ask({ ...request, ...more });
  const use = (example) => ((box.value = example.text), ask(example));
  const clear = () => ((box.value = ""), bench.reset({ text: "" }), box.focus());
  return {
    load: (request) => (box.value = request.text),
    first: () => use(model.examples[0]),
    input: h(
      "div",
      { class: "stack" },
      h("label", { for: "text" }, glossary("text")),
      box,
      h("div", { class: "actions" }, h("button", { type: "button", onclick: clear }, say("clear"))),
      examples(model, use),
    ),
    answer: (output, request) => [
      h("h3", {}, glossary("label")),
      h("p", { class: "headline" }, glossary(output.label)),
      output.out_of_scope ? h("p", { class: "hint" }, say("text.outside")) : null,
      bars(output.probabilities ?? { "": output.probability }),
      ...(output.contributions ? explained(output, request.text) : []),
    ].filter(Boolean),
  };
}

function explained(output, text) {
  const letters = Array.from(text); // the offsets count characters, and a JavaScript string counts halves of some
  const sign = output.probabilities || output.log_odds >= 0 ? 1 : -1; // to the label of many, or the second of two
  const tokens = whole(output.contributions, letters).map(({ start, end, weight }) => {
    return {
      word: letters.slice(start, end).join(""),
      start,
      end,
      weight: sign * weight,
      side: weight >= 0 ? "second" : "first",
    };
  });
  const largest = Math.max(1e-9, ...tokens.map(({ weight }) => Math.abs(weight)));
  const label = glossary(output.label);
  const [own, other] = sign > 0 ? ["second", "first"] : ["first", "second"];
  const parts = [];
  let at = 0;
  for (const token of tokens) {
    const share = Math.abs(token.weight) / largest;
    const title = `${token.word}: ${signed(token.weight)}`;
    parts.push(
      letters.slice(at, token.start).join(""),
      h("mark", { class: token.side, title, style: { "--share": share.toFixed(3) } }, token.word),
    );
    at = token.end;
  }
  parts.push(h("span", { class: "unread" }, letters.slice(at).join("")));
  const list = (side, title) =>
    h(
      "div",
      {},
      h("h4", {}, h("i", { class: `swatch ${side}` }), title),
      words(
        tokens.filter((token) => token.side === side),
        side,
      ),
    );
  return [
    h("h3", {}, say("text.counted")),
    h("p", { class: "explained" }, parts),
    output.read < letters.length && letters.slice(output.read).join("").trim()
      ? h("p", { class: "hint" }, say("text.cut", { read: number(output.read) }))
      : null,
    h("div", { class: "sides" }, list(own, say("text.for", { label })), list(other, say("text.against", { label }))),
  ].filter(Boolean);
}

/** Tokens that are parts of one word, as one: their weights add up. Chinese is written without spaces and stays as it is. */
function whole(tokens, letters) {
  const inWord = (letter) => /[\p{L}\p{N}'’]/u.test(letter) && !/[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}]/u.test(letter);
  const words = [];
  for (const token of tokens) {
    const last = words.at(-1);
    const joined =
      last?.end === token.start &&
      token.start < token.end &&
      inWord(letters[token.start]) &&
      inWord(letters[token.start - 1]);
    if (joined) Object.assign(last, { end: token.end, weight: last.weight + token.weight });
    else words.push({ ...token });
  }
  return words;
}

const signed = (value) => `${value < 0 ? "−" : "+"}${number(Math.abs(Number(value.toFixed(2))))}`;

function words(tokens, side) {
  const top = tokens
    .sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight))
    .slice(0, TOP)
    .filter(({ weight }) => Math.abs(weight) >= 0.005);
  if (!top.length) return h("p", { class: "hint" }, say("none"));
  return h(
    "ul",
    { class: "weights" },
    top.map(({ word, weight }) =>
      h("li", {}, h("span", { class: `word ${side}` }, word), h("span", {}, signed(weight))),
    ),
  );
}
