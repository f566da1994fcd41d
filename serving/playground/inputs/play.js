// Hold a pole up: for models that push a cart. The physics run here, every push is asked of the server.

import { predict, Problem } from "../api.js";
import { bars, raw, signature } from "../answer.js";
import { h, svg } from "../dom.js";
import { number, say } from "../language/i18n.js";

export const kind = "play";
const SECONDS = 0.02; // of a step
const [EDGE, LEAN, LIMIT] = [2.4, (12 * Math.PI) / 180, 500];
const [SCALE, POLE] = [100, 130]; // pixels of a unit of the track; of the pole
const KEYS = { ArrowLeft: 0, ArrowRight: 1 };

export function fits({ request, response }) {
  return request.observation?.description === "position, speed, angle, turn" && "action" in response;
}

/** The state a step later: the equations of Barto, Sutton and Anderson (1983), as in the training. */
export function moved([position, speed, angle, turn], action) {
  const force = action === 1 ? 10 : -10;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const push = (force + 0.05 * turn ** 2 * sin) / 1.1;
  const twist = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - (0.1 * cos ** 2) / 1.1));
  const thrust = push - (0.05 * twist * cos) / 1.1;
  return [
    position + SECONDS * speed,
    speed + SECONDS * thrust,
    angle + SECONDS * turn,
    turn + SECONDS * twist,
  ];
}

export function build(model, bench) {
  let state = fresh();
  let steps = 0;
  let best = 0;
  let running = false;
  let mine = false; // whether a person drives
  let held = null; // the direction that a person holds
  let round = 0; // of the loop that runs; an older one ends by itself
  const stage = scene();
  const told = h("p", { class: "figure" });
  const start = h("button", { class: "primary", type: "button", onclick: () => (running ? pause() : go()) });
  const who = h("button", { type: "button", "aria-pressed": "false", onclick: () => hand(!mine) }, say("play.take"));
  const push = ["left", "right"].map((name, action) =>
    h(
      "button",
      {
        type: "button",
        disabled: true,
        onpointerdown: () => (held = action),
        onpointerup: () => (held = null),
        onpointerleave: () => (held = null),
      },
      say(`play.${name}`),
    ),
  );

  function fresh() {
    return Array.from({ length: 4 }, () => Math.random() * 0.1 - 0.05);
  }

  const fallen = () => Math.abs(state[0]) > EDGE || Math.abs(state[2]) > LEAN;
  const request = () => ({ observation: state.map((value) => Number(value.toFixed(6))) });

  function again() {
    state = fresh();
    steps = 0;
    draw();
  }

  function draw() {
    stage.place(state);
    told.textContent = say("play.count", { steps: number(steps), best: number(best) });
    start.textContent = say(running ? "play.pause" : "play.start");
  }

  function hand(over) {
    mine = over;
    held = null;
    who.setAttribute("aria-pressed", String(mine));
    who.textContent = say(mine ? "play.give" : "play.take");
    for (const button of push) button.disabled = !mine;
    if (mine && !running) go();
  }

  function pause() {
    running = false;
    round += 1;
    draw();
  }

  async function go() {
    if (fallen() || steps >= LIMIT) again();
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
      // Without a key held, pushes to either side take turns: the cart is left alone.
      const action = mine ? (held ?? steps % 2) : found.outputs[0].action;
      state = moved(state, action);
      stage.push(action);
      steps += 1;
      best = Math.max(best, steps);
      draw();
      if (fallen() || steps >= LIMIT) {
        pause();
        bench.announce(said());
        told.textContent = said();
        return;
      }
      due = Math.max(due + SECONDS * 1000, performance.now() - 200);
      await new Promise((done) => setTimeout(done, due - performance.now()));
    }
  }

  const said = () => say(steps >= LIMIT ? "play.held" : "play.fell", { steps: number(steps) });

  function show(asked, found) {
    bench.requested(asked);
    bench.state.result = { ...found, request: asked };
    if (steps % 3 === 0) bench.put(answer(found));
  }

  function answer(found) {
    const [{ probabilities, value, name }] = found.outputs;
    return [
      h("h3", {}, say(mine ? "play.advice" : "play.pushes")),
      h("p", { class: "headline" }, say(`play.${name}`)),
      bars(Object.fromEntries(Object.entries(probabilities).map(([name, share]) => [say(`play.${name}`), share]))),
      h("div", {}, h("h3", {}, say("play.value")), h("p", { class: "figure" }, number(value))),
      signature(model, found),
      raw(found),
    ];
  }

  function key(event, down) {
    if (!mine || !(event.key in KEYS)) return;
    event.preventDefault();
    if (down) held = KEYS[event.key];
    else if (held === KEYS[event.key]) held = null;
  }
  const pressed = (event) => key(event, true);
  const released = (event) => key(event, false);
  addEventListener("keydown", pressed);
  addEventListener("keyup", released);
  draw();

  return {
    load({ observation }) {
      pause();
      state = observation.map(Number);
      steps = 0;
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
        h("button", { type: "button", onclick: kick }, say("play.kick")),
      ),
      h("div", { class: "actions" }, who, push),
      h("p", { class: "hint" }, say("play.hint")),
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
    state[3] += (Math.random() < 0.5 ? -1 : 1) * (0.6 + 0.4 * Math.random());
    if (!running) go();
  }
}

function scene() {
  const arrow = svg("path", { class: "arrow" });
  const pole = svg("line", { class: "pole", y2: -POLE });
  const cart = svg(
    "g",
    {},
    svg("rect", { class: "cart", x: -38, y: -10, width: 76, height: 32, rx: 6 }),
    svg("circle", { class: "wheel", cx: -20, cy: 24, r: 8 }),
    svg("circle", { class: "wheel", cx: 20, cy: 24, r: 8 }),
    arrow,
    pole,
    svg("circle", { class: "axle", r: 5 }),
  );
  const edges = [-EDGE, EDGE].map((x) =>
    svg("line", { class: "edge", x1: x * SCALE, x2: x * SCALE, y1: -20, y2: 32 }),
  );
  const track = svg("line", { class: "rail", x1: -270, x2: 270, y1: 32, y2: 32 });
  const element = svg("svg", { class: "cartpole", viewBox: "-280 -160 560 210", role: "img" }, track, edges, cart);
  return {
    element,
    place([position, , angle]) {
      cart.setAttribute("transform", `translate(${(position * SCALE).toFixed(1)} 0)`);
      pole.setAttribute("transform", `rotate(${((angle * 180) / Math.PI).toFixed(2)})`);
      const facts = { position: number(position), angle: number((angle * 180) / Math.PI) };
      element.setAttribute("aria-label", say("play.picture", facts));
    },
    push(action) {
      arrow.setAttribute("d", action === 1 ? "M44 6h26l-7-6m7 6l-7 6" : "M-44 6h-26l7-6m-7 6l7 6");
    },
  };
}
