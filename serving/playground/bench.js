// The bench every widget works on: the request in one card, the answer in the other, and below both the same as a
// command. A widget says whether it `fits` a model, and `build`s {input, load(request), answer(output, request)}; it may
// ask its `first` question by itself, `mark` the fields that a problem names, `restore` a result of its own making, and
// `leave`.

import { key, predict, Problem } from "./api.js";
import { problemBox, raw, signature } from "./answer.js";
import { h } from "./dom.js";
import { say } from "./language/i18n.js";

/** `state` outlives the bench: {request, result}, kept by project while the page is open. */
export function bench(model, widget, state) {
  const answer = h("div", { class: "answer" });
  const status = h("p", { class: "status hidden", role: "status" });
  const command = h("pre", { tabindex: "0", "aria-label": say("command") });
  let asking = false;
  let next = null;

  const tools = {
    state,

    /** Asks for the answer to `request`. While one is asked for, only the newest of those that come waits. */
    async ask(request) {
      tools.requested(request);
      if (asking) return void (next = request);
      asking = true;
      answer.setAttribute("aria-busy", "true");
      try {
        state.result = await predict(model.name, [request]);
      } catch (error) {
        state.result = { problem: error };
      }
      state.result.request = request;
      asking = false;
      const newer = next;
      next = null;
      show();
      if (newer) await tools.ask(newer);
    },

    /** Keeps `request` and says it as a command. */
    requested(request, path = "predict", body = { inputs: [request] }) {
      state.request = request;
      const address = new URL(`models/${model.name}/${path}`, document.baseURI).href;
      const secret = key.get() ? " -H 'authorization: Bearer <key>'" : "";
      const content = JSON.stringify(body).replaceAll("'", "'\\''");
      command.textContent = `curl ${address} -H 'content-type: application/json'${secret} -d '${content}'`;
    },

    /** Back to before the first question. */
    reset(request) {
      next = null;
      state.result = null;
      tools.requested(request);
      show();
    },

    put(...nodes) {
      answer.replaceChildren(...nodes.flat(Infinity).filter(Boolean));
    },

    fail(error) {
      state.result = { problem: error instanceof Problem ? error : new Problem(0, { detail: error.message }) };
      show();
    },

    announce(text) {
      status.textContent = text;
    },
  };

  function show() {
    const { result } = state;
    answer.setAttribute("aria-busy", "false");
    built.mark?.(result?.problem);
    if (!result) {
      tools.put(h("div", { class: "empty" }, h("p", {}, say(`${widget.kind}.waiting`))));
    } else if (result.problem) {
      tools.put(problemBox(result.problem));
      tools.announce(result.problem.message);
    } else if (built.restore) {
      tools.put(built.restore(result));
    } else {
      const [output] = result.outputs;
      tools.put(built.answer(output, result.request), signature(model, result), raw(result));
      const said = [...answer.querySelectorAll(".headline, .best .share")].slice(0, 2);
      tools.announce(said.map((element) => element.textContent).join(" · "));
    }
  }

  const built = widget.build(model, tools);
  if (state.request) built.load(state.request);
  show();
  if (!state.request && built.first) built.first();
  const element = [
    h(
      "div",
      { class: `bench ${widget.kind}` },
      h("section", { class: "card", "aria-label": say("input") }, built.input),
      h("section", { class: "card", "aria-label": say("answer") }, answer, status),
    ),
    h(
      "details",
      { class: "card more" },
      h("summary", {}, say("command")),
      h("div", { class: "command" }, command, copyButton(command)),
    ),
  ];
  return { element, leave: () => built.leave?.() };
}

function copyButton(source) {
  const button = h("button", { type: "button", class: "small", onclick: copy }, say("copy"));
  async function copy() {
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = say("copied");
    } catch {
      getSelection().selectAllChildren(source); // no clipboard outside https and localhost
    }
    setTimeout(() => (button.textContent = say("copy")), 1500);
  }
  return button;
}

/** One small button per example; `face` draws what stands on it. */
export function examples(model, use, face = (_, index) => say("example", { n: index + 1 })) {
  return h(
    "div",
    { class: "examples", role: "group", "aria-label": say("examples") },
    h("span", { class: "hint" }, say("examples")),
    model.examples.map((example, index) => {
      const label = say("example", { n: index + 1 });
      const inside = face(example, index);
      return h("button", { type: "button", class: "small", "aria-label": label, onclick: () => use(example) }, inside);
    }),
  );
}
