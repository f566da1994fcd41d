// Type a text and read its translation; on request, which words of the text each of its words looked at.

import { examples } from "../bench.js";
import { h } from "../dom.js";
import { glossary, number, say } from "../language/i18n.js";

export const kind = "translate";
const PAUSE = 350; // ms without a key before the model is asked

export function fits({ request, response }) {
  return request.text?.type === "string" && response.translation?.type === "string";
}

export function build(model, bench) {
  const box = h("textarea", {
    id: "text",
    rows: 5,
    maxlength: model.request.text.maxLength,
    placeholder: model.examples.map(({ text }) => text).join("\n"),
    oninput: type,
  });
  const aligned = h("input", { type: "checkbox", id: "attention", onchange: type });
  const request = () => (aligned.checked ? { text: box.value, attention: true } : { text: box.value });
  let timer;

  function type() {
    clearTimeout(timer);
    if (box.value.trim()) timer = setTimeout(() => bench.ask(request()), PAUSE);
    else bench.reset(request());
  }

  const use = ({ text }) => ((box.value = text), bench.ask(request()));
  const clear = () => ((box.value = ""), bench.reset(request()), box.focus());
  return {
    load: ({ text, attention }) => ((box.value = text), (aligned.checked = Boolean(attention))),
    first: () => use(model.examples[0]),
    input: h(
      "div",
      { class: "stack" },
      h("label", { for: "text" }, glossary("text")),
      box,
      model.request.attention
        ? h("label", { class: "check", for: "attention" }, aligned, " ", say("translate.align"))
        : null,
      h("div", { class: "actions" }, h("button", { type: "button", onclick: clear }, say("clear"))),
      examples(model, use, ({ text }) => h("bdi", {}, text.length > 24 ? `${text.slice(0, 23)}…` : text)),
    ),
    answer: (output, { text }) => [
      h("h3", {}, glossary("translation")),
      h("p", { class: "headline" }, h("bdi", {}, output.translation || "–")),
      output.read < Array.from(text.trimEnd()).length
        ? h("p", { class: "hint" }, say("text.cut", { read: number(output.read) }))
        : null,
      ...(output.attention ? picture(output.attention) : []),
    ],
  };
}

/** A table with a row for each word of the translation: the darker a cell, the more that word looked there. */
function picture({ source, target, weights }) {
  const cells = target.map((word, row) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, word),
      source.map((other, column) => {
        const share = weights[row][column];
        const title = `${word} → ${other}: ${number(share)}`;
        return h("td", { title, style: { "--share": share.toFixed(3) } }, h("span", { class: "hidden" }, number(share)));
      }),
    ),
  );
  const head = h(
    "tr",
    {},
    h("td"),
    source.map((word) => h("th", { scope: "col" }, h("span", {}, word))),
  );
  return [
    h("h3", {}, say("translate.alignment")),
    h("div", { class: "alignment", tabindex: "0", role: "region", "aria-label": say("translate.alignment") }, [
      h("table", {}, h("thead", {}, head), h("tbody", {}, cells)),
    ]),
  ];
}
