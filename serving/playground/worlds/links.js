// Acrobot: two links hang from a bar, with a motor between them (Sutton, 1996). Gymnasium's equations, by Runge-Kutta.

import { svg } from "../dom.js";
import { number, say } from "../language/i18n.js";

const { PI, cos, sin } = Math;
const LENGTH = 80; // pixels of a link
const wrapped = (angle) => angle - 2 * PI * Math.floor((angle + PI) / (2 * PI));
const within = (value, most) => Math.min(most, Math.max(-most, value));

/** Changes of both angles and both speeds by a torque. Masses, lengths and inertias are 1. */
function change([a, b, da, db], torque) {
  const d1 = 0.25 + (1 + 0.25 + cos(b)) + 2;
  const d2 = 0.25 + 0.5 * cos(b) + 1;
  const phi2 = 0.5 * 9.8 * cos(a + b - PI / 2);
  const phi1 = -0.5 * db ** 2 * sin(b) - db * da * sin(b) + 1.5 * 9.8 * cos(a - PI / 2) + phi2;
  const ddb = (torque + (d2 / d1) * phi1 - 0.5 * da ** 2 * sin(b) - phi2) / (1.25 - d2 ** 2 / d1);
  return [da, db, -(d2 * ddb + phi1) / d1, ddb];
}

const ahead = (state, rates, time) => state.map((value, i) => value + time * rates[i]);

export const links = {
  name: "links",
  environments: ["Acrobot-v1"],
  seconds: 0.066,
  limit: 500,
  keys: { ArrowLeft: 0, ArrowRight: 2, ArrowDown: 1 },
  actions: ["left", "none", "right"],
  idle: () => 1,
  fresh: () => Array.from({ length: 4 }, () => Math.random() * 0.2 - 0.1),
  observed: ([a, b, da, db]) => [cos(a), sin(a), cos(b), sin(b), da, db].map((value) => Number(value.toFixed(6))),
  restored: ([cosA, sinA, cosB, sinB, da, db]) => [Math.atan2(sinA, cosA), Math.atan2(sinB, cosB), da, db].map(Number),

  step(state, action) {
    const torque = action - 1;
    const one = change(state, torque);
    const two = change(ahead(state, one, 0.1), torque);
    const three = change(ahead(state, two, 0.1), torque);
    const four = change(ahead(state, three, 0.2), torque);
    const rates = one.map((rate, i) => (rate + 2 * two[i] + 2 * three[i] + four[i]) / 6);
    const [a, b, da, db] = ahead(state, rates, 0.2);
    const after = [wrapped(a), wrapped(b), within(da, 4 * PI), within(db, 9 * PI)];
    const high = -cos(after[0]) - cos(after[0] + after[1]) > 1;
    return { state: after, reward: high ? 0 : -1, ended: high ? "arrived" : null };
  },

  scene() {
    const lower = svg("line", { class: "pole", y2: LENGTH });
    const arrow = svg("path", { class: "arrow" });
    const elbow = svg("g", {}, lower, arrow, svg("circle", { class: "axle", r: 5 }));
    const arm = svg("g", {}, svg("line", { class: "arm", y2: LENGTH }), elbow, svg("circle", { class: "axle", r: 5 }));
    const bar = svg("line", { class: "edge", x1: -270, x2: 270, y1: -LENGTH, y2: -LENGTH });
    const element = svg("svg", { class: "world", viewBox: "-280 -180 560 360", role: "img" }, bar, arm);
    return {
      element,
      place([a, b]) {
        const degrees = (angle) => ((-angle * 180) / PI).toFixed(1);
        arm.setAttribute("transform", `rotate(${degrees(a)})`);
        elbow.setAttribute("transform", `translate(0 ${LENGTH}) rotate(${degrees(b)})`);
        const tip = -cos(a) - cos(a + b);
        element.setAttribute("aria-label", say("play.links.picture", { height: number(tip) }));
      },
      push(action) {
        const turned = ["M16 -8a18 18 0 0 1 0 16l-1-8m1 8l7-4", "", "M-16 -8a18 18 0 0 0 0 16l1-8m-1 8l-7-4"];
        arrow.setAttribute("d", turned[action]);
      },
    };
  },
};
