// How the answer would change with one field, all others as they are: one batch of questions, one line.

import { secondClass } from "../answer.js";
import { predict } from "../api.js";
import { axes, path, ticks } from "../chart.js";
import { h, svg } from "../dom.js";
import { glossary, number, percent, say } from "../language/i18n.js";

const POINTS = 41;
const [WIDTH, HEIGHT] = [360, 190];
const answered = new Map(); // so that moving the slider itself asks nothing anew

/** Fills `figure` when the answers are there; nothing where they hold no number. */
export function curve(figure, model, request, name, [low, high]) {
  const others = JSON.stringify([model.name, model.card.version, name, { ...request, [name]: null }]);
  const values = Array.from({ length: POINTS }, (_, index) => low + ((high - low) * index) / (POINTS - 1));
  if (!answered.has(others)) {
    if (answered.size > 50) answered.clear();
    answered.set(
      others,
      predict(
        model.name,
        values.map((value) => ({ ...request, [name]: value })),
      ),
    );
  }
  figure.dataset.shows = others;
  answered.get(others).then(
    ({ outputs }) => figure.dataset.shows === others && fill(outputs),
    () => answered.delete(others),
  );

  function fill(outputs) {
    const key = Object.keys(outputs[0]).find((one) => typeof outputs[0][one] === "number");
    if (!key) return;
    const share = key.startsWith("prob");
    const points = outputs.map((output, index) => [values[index], output[key]]);
    const now = typeof request[name] === "number" ? request[name] : null;
    const ys = points.map(([, y]) => y);
    const plot = axes({
      width: WIDTH,
      height: HEIGHT,
      x: [low, high],
      y: share ? [0, 1] : padded(ys),
      format: share ? (v) => percent(v, 0) : number,
    });
    const at = now === null ? null : nearest(points, now);
    const title = say("curve", { answer: glossary(secondClass(model, outputs[0]) ?? key), field: glossary(name) });
    figure.replaceChildren(
      h("figcaption", {}, title),
      svg(
        "svg",
        { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title },
        plot.frame,
        ticks(low, high, 4).map((value) =>
          svg("text", { x: plot.x(value), y: HEIGHT - 6, "text-anchor": "middle" }, number(value)),
        ),
        svg("path", { class: "line", d: path(points, plot) }),
        at && svg("circle", { class: "dot", r: 5, cx: plot.x(at[0]), cy: plot.y(at[1]) }),
      ),
    );
  }
}

function padded(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  return [low - room, high + room];
}

/** The point of the line above `x`, between its two neighbours. */
function nearest(points, x) {
  const after = points.findIndex(([value]) => value >= x);
  if (after <= 0) return after === 0 ? points[0] : points.at(-1);
  const [[x0, y0], [x1, y1]] = [points[after - 1], points[after]];
  return [x, y0 + ((y1 - y0) * (x - x0)) / (x1 - x0)];
}
