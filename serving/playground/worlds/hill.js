// MountainCar: a car too weak for the hill must swing up (Moore, 1990). Gymnasium's equations.

import { svg } from "../dom.js";
import { number, say } from "../language/i18n.js";

const [LEFT, RIGHT, FASTEST, GOAL] = [-1.2, 0.6, 0.07, 0.5];
const height = (x) => Math.sin(3 * x) * 0.45 + 0.55;
const [across, up] = [(x) => (x - LEFT) * 300, (x) => 210 - height(x) * 180];

export const hill = {
  name: "hill",
  environments: ["MountainCar-v0"],
  seconds: 0.033,
  limit: 200,
  keys: { ArrowLeft: 0, ArrowRight: 2, ArrowDown: 1 },
  actions: ["left", "none", "right"],
  idle: () => 1,
  fresh: () => [-0.6 + Math.random() * 0.2, 0],
  observed: (state) => state.map((value) => Number(value.toFixed(7))),
  restored: (observation) => observation.map(Number),

  step([position, speed], action) {
    let v = speed + (action - 1) * 0.001 - Math.cos(3 * position) * 0.0025;
    v = Math.min(FASTEST, Math.max(-FASTEST, v));
    const x = Math.min(RIGHT, Math.max(LEFT, position + v));
    if (x === LEFT && v < 0) v = 0;
    return { state: [x, v], reward: -1, ended: x >= GOAL && v >= 0 ? "arrived" : null };
  },

  scene() {
    const ground = Array.from({ length: 61 }, (_, i) => LEFT + ((RIGHT - LEFT) * i) / 60);
    const line = ground.map((x) => `${across(x).toFixed(1)},${up(x).toFixed(1)}`).join(" ");
    const arrow = svg("path", { class: "arrow" });
    const car = svg(
      "g",
      {},
      svg("rect", { class: "cart", x: -20, y: -24, width: 40, height: 16, rx: 5 }),
      svg("circle", { class: "wheel", cx: -11, cy: -6, r: 6 }),
      svg("circle", { class: "wheel", cx: 11, cy: -6, r: 6 }),
      arrow,
    );
    const [x, y] = [across(GOAL), up(GOAL)];
    const flag = svg("path", { class: "flag", d: `M${x} ${y}v-44l22 8-22 8` });
    const track = svg("polyline", { class: "rail", points: line });
    const element = svg("svg", { class: "world", viewBox: "0 -24 540 244", role: "img" }, track, flag, car);
    return {
      element,
      place([position]) {
        const slope = (-Math.atan(Math.cos(3 * position) * 1.35 * 0.6) * 180) / Math.PI;
        const where = `translate(${across(position).toFixed(1)} ${up(position).toFixed(1)})`;
        car.setAttribute("transform", `${where} rotate(${slope.toFixed(1)})`);
        element.setAttribute("aria-label", say("play.hill.picture", { position: number(position) }));
      },
      push(action) {
        arrow.setAttribute("d", ["M-28 -16h-22l7-6m-7 6l7 6", "", "M28 -16h22l-7-6m7 6l-7 6"][action]);
      },
    };
  },
};
