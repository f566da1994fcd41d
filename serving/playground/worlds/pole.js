// CartPole: a cart that balances a pole. The equations of Barto, Sutton and Anderson (1983), as in the training.

import { svg } from "../dom.js";
import { number, say } from "../language/i18n.js";

const [EDGE, LEAN] = [2.4, (12 * Math.PI) / 180];
const [SCALE, POLE] = [100, 130]; // pixels of a unit of the track; of the pole
const between = (low, high) => low + Math.random() * (high - low);

export const pole = {
  name: "pole",
  environments: ["CartPole-v1"],
  seconds: 0.02, // of a step
  limit: 500,
  keys: { ArrowLeft: 0, ArrowRight: 1 },
  actions: ["left", "right"],
  idle: (steps) => steps % 2, // pushes to either side take turns: the cart is left alone
  fresh: () => Array.from({ length: 4 }, () => between(-0.05, 0.05)),
  observed: (state) => state.map((value) => Number(value.toFixed(6))),
  restored: (observation) => observation.map(Number),

  step([position, speed, angle, turn], action) {
    const force = action === 1 ? 10 : -10;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const push = (force + 0.05 * turn ** 2 * sin) / 1.1;
    const twist = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - (0.1 * cos ** 2) / 1.1));
    const thrust = push - (0.05 * twist * cos) / 1.1;
    const state = [position + 0.02 * speed, speed + 0.02 * thrust, angle + 0.02 * turn, turn + 0.02 * twist];
    return { state, reward: 1, ended: Math.abs(state[0]) > EDGE || Math.abs(state[2]) > LEAN ? "fell" : null };
  },

  kicked: ([position, speed, angle, turn]) => {
    return [position, speed, angle, turn + (Math.random() < 0.5 ? -1 : 1) * between(0.6, 1)];
  },

  scene() {
    const arrow = svg("path", { class: "arrow" });
    const rod = svg("line", { class: "pole", y2: -POLE });
    const cart = svg(
      "g",
      {},
      svg("rect", { class: "cart", x: -38, y: -10, width: 76, height: 32, rx: 6 }),
      svg("circle", { class: "wheel", cx: -20, cy: 24, r: 8 }),
      svg("circle", { class: "wheel", cx: 20, cy: 24, r: 8 }),
      arrow,
      rod,
      svg("circle", { class: "axle", r: 5 }),
    );
    const edges = [-EDGE, EDGE].map((x) =>
      svg("line", { class: "edge", x1: x * SCALE, x2: x * SCALE, y1: -20, y2: 32 }),
    );
    const track = svg("line", { class: "rail", x1: -270, x2: 270, y1: 32, y2: 32 });
    const element = svg("svg", { class: "world", viewBox: "-280 -160 560 210", role: "img" }, track, edges, cart);
    return {
      element,
      place([position, , angle]) {
        cart.setAttribute("transform", `translate(${(position * SCALE).toFixed(1)} 0)`);
        rod.setAttribute("transform", `rotate(${((angle * 180) / Math.PI).toFixed(2)})`);
        const facts = { position: number(position), angle: number((angle * 180) / Math.PI) };
        element.setAttribute("aria-label", say("play.pole.picture", facts));
      },
      push(action) {
        arrow.setAttribute("d", action === 1 ? "M44 6h26l-7-6m7 6l-7 6" : "M-44 6h-26l7-6m-7 6l7 6");
      },
    };
  },
};
