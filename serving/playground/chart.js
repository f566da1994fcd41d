// The little that two line charts share.

import { svg } from "./dom.js";

const PLACE = { left: 58, right: 14, top: 10, bottom: 26 };

/** Scales, and a frame of horizontal lines with their values. */
export function axes({ width, height, x: [left, right], y: [low, high], format }) {
  const x = (value) => PLACE.left + ((value - left) / (right - left)) * (width - PLACE.left - PLACE.right);
  const y = (value) => height - PLACE.bottom - ((value - low) / (high - low)) * (height - PLACE.top - PLACE.bottom);
  const lines = ticks(low, high, 5).map((value) => [
    svg("line", { class: "grid", x1: PLACE.left, x2: width - PLACE.right, y1: y(value), y2: y(value) }),
    svg("text", { x: PLACE.left - 8, y: y(value) + 4, "text-anchor": "end" }, format(value)),
  ]);
  return { x, y, frame: svg("g", {}, lines) };
}

/** About `count` round values between two. */
export function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((one) => one * power >= rough);
  const found = [];
  for (let n = Math.ceil(low / step); n * step <= high + step * 1e-9; n += 1)
    found.push(Number((n * step).toPrecision(12)));
  return found;
}

export const path = (points, { x, y }) =>
  points.map(([a, b], index) => `${index ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");
