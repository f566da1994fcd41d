// Two texts on one prompt, one by the aligned model and one by the model it began as. You say which is better before the
// page tells who wrote which, and what the judges think: for models with a `policy` and rewards.

import { predict } from "../api.js";
import { signature } from "../answer.js";
import { examples } from "../bench.js";
import { h } from "../dom.js";
import { glossary, number, say } from "../language/i18n.js";

export const kind = "compare";
const WRITERS = ["reference", "aligned"];
const FIGURES = ["reward", "learned_reward", "perplexity"];

export function fits({ request, response }) {
  return request.policy?.enum?.join() === "aligned,reference" && "learned_reward" in response;
}

export function build(model, bench) {
  const tally = (bench.state.tally ??= { votes: 0, rule: 0, ruled: 0, learned: 0 });
  const prompt = h("input", { id: "prompt", autocomplete: "off", maxlength: model.request.prompt.maxLength });
  const start = h("button", { class: "primary", type: "submit" }, say("compare.start"));

  async function write() {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const { max_tokens = 24, temperature = 1 } = model.examples[0];
    const asked = { prompt: prompt.value, max_tokens, temperature, judge: true };
    const inputs = WRITERS.map((policy, number) => ({ ...asked, policy, seed: seed + number }));
    bench.requested(asked, "predict", { inputs });
    start.disabled = true;
    try {
      const found = await predict(model.name, inputs);
      const texts = found.outputs.map((output, number) => ({ ...output, writer: WRITERS[number] }));
      bench.state.result = { ...found, prompt: asked.prompt, texts: seed % 2 ? texts.reverse() : texts, voted: null };
      show();
    } catch (error) {
      bench.fail(error);
    }
    start.disabled = false;
  }

  function vote(place) {
    const { result } = bench.state;
    const [mine, other] = [result.texts[place], result.texts[1 - place]];
    result.voted = place;
    tally.votes += 1;
    tally.learned += mine.learned_reward > other.learned_reward;
    tally.ruled += mine.reward !== other.reward;
    tally.rule += mine.reward > other.reward;
    show();
    bench.announce(say(`compare.${mine.writer}`));
  }

  const show = () => bench.put(drawn(bench.state.result));

  function drawn(result) {
    const known = result.voted !== null;
    const cards = result.texts.map((text, place) =>
      h(
        "section",
        { class: known && place === result.voted ? "text chosen" : "text" },
        h("h3", {}, known ? say(`compare.${text.writer}`) : say("compare.text", { n: place + 1 })),
        h("p", { class: "paper" }, h("span", { class: "prompt" }, result.prompt), text.text),
        known
          ? figures(text)
          : h("button", { type: "button", onclick: () => vote(place) }, say("compare.better", { n: place + 1 })),
      ),
    );
    return [
      h("div", { class: "texts" }, cards),
      known ? h("p", { class: "hint" }, verdict()) : h("p", { class: "hint" }, say("compare.ask")),
      known ? signature(model, result) : null,
    ];
  }

  function verdict() {
    const { votes, learned, rule, ruled } = tally;
    const parts = [say("compare.agreed", { votes, learned })];
    if (ruled) parts.push(say("compare.ruled", { rule, ruled }));
    return parts.join(" ");
  }

  const submit = (event) => (event.preventDefault(), write());
  return {
    load: (given) => (prompt.value = given.prompt),
    first: () => ((prompt.value = model.examples[0].prompt), write()),
    restore: drawn,
    input: h(
      "form",
      { class: "stack", novalidate: true, onsubmit: submit },
      h("label", { for: "prompt" }, glossary("prompt")),
      prompt,
      h("div", { class: "actions" }, start),
      examples(
        model,
        (example) => ((prompt.value = example.prompt), write()),
        ({ prompt }) => `“${prompt.trim()}…”`,
      ),
      h("p", { class: "hint" }, say("compare.hint")),
    ),
  };
}

function figures(text) {
  const known = [...FIGURES, ...(text.writer === "aligned" ? ["kl"] : [])].filter((name) => text[name] !== null);
  return h(
    "dl",
    {},
    known.map((name) => h("div", {}, h("dt", {}, say(`compare.${name}`)), h("dd", {}, number(text[name])))),
  );
}
