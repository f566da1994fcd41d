// Watch a policy play, and take over: for models that act in a world that runs here. Every step is asked of the server.

import { predict, Problem } from "../api.js";
import { bars, raw, signature } from "../answer.js";
import { h } from "../dom.js";
import { number, say } from "../language/i18n.js";
import { worldOf } from "../worlds/all.js";

export const kind = "play";

export function fits({ request, response }) {
  return Boolean(worldOf(request.observation)) && "action" in response;
}

export function build(model, bench) {
  const world = worldOf(model.request.observation);
  let state = world.fresh();
  let steps = 0;
  let total = 0;
  let best = null;
  let ended = null;
  let running = false;
  let mine = false; // whether a person drives
  let held = null; // the action that a person holds
  let moved = null; // wakes a world that waits for a person's move
  let round = 0; // of the loop that runs; an older one ends by itself
  const stage = world.scene();
  const told = h("p", { class: "figure" });
  const start = h("button", { class: "primary", type: "button", onclick: () => (running ? pause() : go()) });
  const who = h("button", { type: "button", "aria-pressed": "false", onclick: () => hand(!mine) }, say("play.take"));
  const push = Object.values(world.keys)
    .sort()
    .map((action) =>
      h(
        "button",
        {
          type: "button",
          disabled: true,
          onpointerdown: () => hold(action),
          onpointerup: release,
          onpointerleave: release,
          onkeydown: ({ key }) => ["Enter", " "].includes(key) && hold(action),
          onkeyup: release,
        },
        say(`play.${world.actions[action]}`),
      ),
    );

  const request = () => ({ observation: world.observed(state) });
  const over = () => Boolean(ended) || steps >= world.limit;

  function again() {
    state = world.fresh();
    steps = 0;
    total = 0;
    ended = null;
    draw();
  }

  function draw() {
    stage.place(state);
    const facts = { steps: number(steps), total: number(total), best: best === null ? "–" : number(best) };
    told.textContent = say("play.count", facts);
    start.textContent = say(running ? "play.pause" : "play.start");
  }

  function hold(action) {
    held = action;
    moved?.();
  }

  /** Where a person moves turn by turn, a move counts until it is made. */
  function release() {
    if (!world.turns) held = null;
  }

  function hand(taken) {
    mine = taken;
    held = null;
    who.setAttribute("aria-pressed", String(mine));
    who.textContent = say(mine ? "play.give" : "play.take");
    for (const button of push) button.disabled = !mine;
    moved?.();
    if (mine && !running) go();
  }

  function pause() {
    running = false;
    round += 1;
    moved?.();
    draw();
  }

  async function go() {
    if (over()) again();
    running = true;
    const now = (round += 1);
    let due = performance.now();
    while (running && now === round) {
      const asked = request();
      let found;
      try {
        found = await predict(model.name, [asked]);
      } catch (error) {
        pause();
        return bench.fail(error instanceof Problem ? error : new Problem(0, { detail: error.message }));
      }
      if (now !== round) return;
      show(asked, found);
      if (mine && world.turns && held === null) await new Promise((woken) => (moved = woken));
      moved = null;
      if (now !== round) return;
      if (mine && world.turns && held === null) continue; // given back, and nothing pressed
      const action = mine ? (held ?? world.idle(steps)) : found.outputs[0].action;
      if (world.turns) held = null;
      const step = world.step(state, action);
      state = step.state;
      ended = step.ended;
      total += step.reward;
      stage.push(action);
      steps += 1;
      draw();
      if (over()) {
        best = Math.max(best ?? -Infinity, total);
        pause();
        const said = say(`play.${world.name}.${ended ?? "time"}`, { steps: number(steps), total: number(total) });
        bench.announce(said);
        told.textContent = said;
        return;
      }
      due = Math.max(due + world.seconds * 1000, performance.now() - 200);
      await new Promise((done) => setTimeout(done, due - performance.now()));
    }
  }

  function show(asked, found) {
    bench.requested(asked);
    bench.state.result = { ...found, request: asked };
    if (world.turns || steps % 3 === 0) bench.put(answer(found));
  }

  function answer(found) {
    const [{ probabilities, value, action }] = found.outputs;
    const shares = Object.values(probabilities).map((share, number) => [say(`play.${world.actions[number]}`), share]);
    return [
      h("h3", {}, say(mine ? "play.advice" : "play.does")),
      h("p", { class: "headline" }, say(`play.${world.actions[action]}`)),
      bars(Object.fromEntries(shares)),
      h("div", {}, h("h3", {}, say("play.value")), h("p", { class: "figure" }, number(value))),
      signature(model, found),
      raw(found),
    ];
  }

  function key(event, down) {
    if (!mine || !(event.key in world.keys)) return;
    event.preventDefault();
    const action = world.keys[event.key];
    if (down && !(world.turns && event.repeat)) hold(action);
    else if (!down && held === action) release();
  }
  const pressed = (event) => key(event, true);
  const released = (event) => key(event, false);
  addEventListener("keydown", pressed);
  addEventListener("keyup", released);
  draw();

  return {
    load({ observation }) {
      pause();
      state = world.restored(observation);
      steps = 0;
      total = 0;
      ended = null;
      draw();
    },
    input: h(
      "div",
      { class: "stack" },
      stage.element,
      told,
      h(
        "div",
        { class: "actions" },
        start,
        h("button", { type: "button", onclick: () => (pause(), again(), go()) }, say("play.again")),
        world.kicked ? h("button", { type: "button", onclick: kick }, say("play.kick")) : null,
      ),
      h("div", { class: "actions" }, who, push),
      h("p", { class: "hint" }, say(world.turns ? "play.turns" : "play.hint")),
    ),
    first: () => bench.ask(request()),
    restore: answer,
    leave() {
      pause();
      removeEventListener("keydown", pressed);
      removeEventListener("keyup", released);
    },
  };

  function kick() {
    state = world.kicked(state);
    if (!running) go();
  }
}
