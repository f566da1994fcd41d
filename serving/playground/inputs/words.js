// Look words up on a map: for models that name the words nearest to a word, or to a sum of words.

import { predict } from "../api.js";
import { examples } from "../bench.js";
import { h, svg } from "../dom.js";
import { glossary, number, say } from "../language/i18n.js";

export const kind = "words";
const PAUSE = 300; // ms without a key before the model is asked
const MAPPED = 1000; // words of the map's ground
const [WIDTH, HEIGHT] = [460, 320];
const TASKS = { neighbours: 1, similarity: 2, analogy: 3 }; // words that each takes

export function fits({ request, response }) {
  const found = JSON.stringify(response.nearest ?? {});
  return request.words?.type === "array" && ["word", "x", "y"].every((name) => found.includes(`"${name}"`));
}

export function build(model, bench) {
  let task = "neighbours";
  let ground = []; // the most frequent words and their places
  let timer;
  const boxes = [0, 1, 2].map((place) =>
    h("input", { id: `word-${place}`, autocomplete: "off", autocapitalize: "off", spellcheck: "false", oninput: type }),
  );
  const labels = boxes.map((box) => h("label", { for: box.id }));
  const fields = boxes.map((box, place) => h("div", { class: "field" }, labels[place], box));
  const radios = Object.keys(TASKS).map((name) =>
    h("input", { type: "radio", name: "task", value: name, onchange: () => (choose(name), ask()) }),
  );

  function choose(name) {
    task = name;
    for (const radio of radios) radio.checked = radio.value === name;
    fields.forEach((field, place) => (field.hidden = place >= TASKS[name]));
    labels.forEach((label, place) => (label.textContent = say(`words.${name}.${place}`)));
  }

  const request = () => {
    const words = boxes.slice(0, TASKS[task]).map((box) => box.value.trim());
    return { task, words, top: 12 };
  };

  function ask() {
    clearTimeout(timer);
    const asked = request();
    if (asked.words.every(Boolean)) bench.ask(asked);
    else bench.reset(asked);
  }

  function type() {
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE);
  }

  function load(given) {
    choose(given.task in TASKS ? given.task : "neighbours");
    boxes.forEach((box, place) => (box.value = given.words[place] ?? ""));
  }

  const use = (example) => (load(example), bench.ask({ ...example }));
  const look = (word) => (load({ task: "neighbours", words: [word] }), ask());
  load(model.examples[0]);
  return {
    load,
    async first() {
      const asked = request();
      try {
        ground = (await predict(model.name, [{ task: "map", words: [], top: MAPPED }])).outputs[0].nearest;
      } catch {
        // then the map shows only what is found
      }
      bench.ask(asked);
    },
    input: h(
      "form",
      { class: "stack", novalidate: true, onsubmit: (event) => (event.preventDefault(), ask()) },
      h(
        "fieldset",
        { class: "field" },
        h("legend", {}, say("words.task")),
        h(
          "div",
          { class: "chips" },
          radios.map((radio) => h("label", { class: "chip" }, radio, h("span", {}, say(`words.${radio.value}`)))),
        ),
      ),
      fields,
      examples(model, use, ({ words }) => words.join(" · ")),
      h("p", { class: "hint" }, say("words.hint")),
    ),
    answer(output, asked) {
      if (output.similarity !== null)
        return [
          h("h3", {}, say("words.similarity")),
          h("p", { class: "headline" }, number(output.similarity)),
          h("p", { class: "hint" }, say("words.scale")),
        ];
      const [best] = output.nearest;
      const title =
        asked.task === "analogy"
          ? say("words.said", { a: asked.words[0], b: asked.words[1], c: asked.words[2] })
          : say("words.near", { word: asked.words[0] });
      return [
        h("h3", {}, title),
        h("p", { class: "headline" }, best.word),
        list(output.nearest, look),
        chart(ground, output.nearest, asked.words, look),
      ];
    },
  };
}

function list(nearest, look) {
  return h(
    "ol",
    { class: "near" },
    nearest.map(({ word, similarity }) =>
      h(
        "li",
        {},
        h("button", { type: "button", class: "small", onclick: () => look(word) }, word),
        h(
          "span",
          { class: "track", "aria-hidden": "true" },
          h("i", { style: { width: `${100 * Math.max(0, similarity)}%` } }),
        ),
        h("span", {}, number(similarity)),
      ),
    ),
  );
}

/** The part of the map where the words found lie; the others there in grey. Words beyond the map are in the list only. */
function chart(ground, nearest, words, look) {
  const found = nearest.filter(({ x }) => x !== null);
  if (!found.length) return null;
  const shown = new Set(found.map(({ word }) => word));
  const x = scale(found.map((one) => one.x), WIDTH);
  const y = scale(found.map((one) => -one.y), HEIGHT);
  const label = (one, name) =>
    svg(
      "text",
      { class: name, x: x(one.x), y: y(-one.y), "text-anchor": "middle", onclick: () => look(one.word) },
      one.word,
    );
  const rest = ground.filter(({ word }) => !shown.has(word));
  return h(
    "figure",
    { class: "words-map" },
    svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": say("words.map") },
      rest.map((one) => label(one, words.includes(one.word) ? "asked" : "ground")),
      found.map((one) => label(one, "found")),
    ),
    h("figcaption", { class: "hint" }, say("words.map")),
  );
}

/** From the values, with room around them, to pixels. */
function scale(values, size) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const half = Math.max(0.04, (high - low) * 0.65);
  return (value) => size / 2 + ((value - (low + high) / 2) / half) * (size / 2);
}
