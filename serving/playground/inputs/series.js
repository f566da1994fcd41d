// A history and the fan of what may come: for answers with intervals at several horizons.

import { axes, path, ticks } from "../chart.js";
import { examples } from "../bench.js";
import { h, svg } from "../dom.js";
import { glossary, number, percent, price, say } from "../language/i18n.js";

export const kind = "series";
const SHOWN = 90; // days of the history
const RECENT = 20; // days that the slider calms or stirs

export function fits({ request, response }) {
  const horizon = response.horizons?.items?.properties;
  return (
    request.close?.items?.type === "number" && Boolean(horizon?.days && horizon?.interval_80 && horizon?.interval_95)
  );
}

export function build(model, bench) {
  let history = model.examples[0];
  const least = model.request.close.minItems ?? 2;
  const stir = h("input", { id: "stir", type: "range", min: 0, max: 3, step: 0.1, value: 1, oninput: ask });
  const told = h("output", { for: "stir" });
  const own = h("textarea", {
    id: "own",
    class: "mono",
    rows: 4,
    spellcheck: "false",
    placeholder: "101.5, 102.25, …",
    oninput: type,
  });
  const count = h("p", { class: "hint" });

  function ask() {
    told.textContent = `× ${number(Number(stir.value))}`;
    bench.ask({ ...history, close: stirred(history.close, Number(stir.value)) });
  }

  function load(request) {
    history = request;
    stir.value = 1;
    told.textContent = "× 1";
    own.value = "";
    count.textContent = say("series.least", { least });
  }

  function type() {
    const close = own.value
      .split(/[\s,;]+/)
      .filter(Boolean)
      .map(Number);
    count.textContent = close.every(Number.isFinite)
      ? say("series.count", { count: close.length, least })
      : say("series.numbers");
    if (close.length < least || !close.every(Number.isFinite)) return;
    history = { close };
    stir.value = 1;
    ask();
  }

  load(history);
  return {
    load,
    first: ask,
    input: h(
      "div",
      { class: "columns" },
      h(
        "div",
        { class: "field" },
        h("label", { for: "stir" }, say("series.stir", { days: RECENT })),
        h(
          "div",
          { class: "slider ends" },
          h("span", { class: "hint" }, say("series.calm")),
          stir,
          h("span", { class: "hint" }, say("series.wild")),
          told,
        ),
        examples(
          model,
          (example) => (load(example), ask()),
          (example, index) => example.symbol || say("example", { n: index + 1 }),
        ),
      ),
      h(
        "details",
        {},
        h("summary", {}, say("series.own")),
        h("label", { for: "own" }, say("series.prices")),
        own,
        count,
      ),
    ),
    answer: (output, request) => [
      h("h3", {}, output.symbol || say("series.title")),
      h("p", { class: "headline" }, forecast(output)),
      fan(output, request.close),
      legend(),
      table(output),
    ],
  };
}

/** The last days' returns, larger or smaller; the last price stays, so that fans can be compared. */
function stirred(close, factor) {
  if (factor === 1) return close;
  const split = close.length - RECENT;
  const changed = close.slice(0, split);
  for (let day = split; day < close.length; day += 1)
    changed.push(changed[day - 1] * (close[day] / close[day - 1]) ** factor);
  const scale = close.at(-1) / changed.at(-1);
  return changed.map((price) => Number((price * scale).toPrecision(8)));
}

function forecast({ horizons }) {
  const {
    days,
    interval_80: [low, high],
  } = horizons.at(-1);
  return say("series.headline", { days, low: price(low), high: price(high) });
}

function fan({ last, horizons }, close) {
  const [width, height] = innerWidth < 800 ? [360, 280] : [860, 360];
  const history = close.slice(-SHOWN).map((price, index, all) => [index - all.length + 1, price]);
  const edge = (level, side) => [[0, last], ...horizons.map((one) => [one.days, one[level][side]])];
  const prices = [...history.map(([, price]) => price), ...horizons.flatMap((one) => one.interval_95)];
  const room = 0.06 * (Math.max(...prices) - Math.min(...prices) || 1);
  const reach = horizons.at(-1).days;
  const plot = axes({
    width,
    height,
    x: [history[0][0], reach],
    y: [Math.min(...prices) - room, Math.max(...prices) + room],
    format: price,
  });
  const band = (level) =>
    svg("path", {
      class: `band ${level}`,
      d: `${path(edge(level, 1), plot)}${path(edge(level, 0).reverse(), plot).replace("M", "L")}Z`,
    });
  const median = [[0, last], ...horizons.map((one) => [one.days, one.median])];
  return svg(
    "svg",
    { class: "fan", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": say("series.chart") },
    plot.frame,
    svg("line", { class: "today", x1: plot.x(0), x2: plot.x(0), y1: 10, y2: height - 26 }),
    ticks(history[0][0], reach, width / 140).map((day) =>
      svg(
        "text",
        { x: plot.x(day), y: height - 6, "text-anchor": "middle" },
        day ? `${day > 0 ? "+" : "−"}${Math.abs(day)}` : say("series.today"),
      ),
    ),
    band("interval_95"),
    band("interval_80"),
    svg("path", { class: "line", d: path(history, plot) }),
    svg("path", { class: "line median", d: path(median, plot) }),
    median.slice(1).map(([day, price]) => svg("circle", { class: "dot", r: 3.5, cx: plot.x(day), cy: plot.y(price) })),
  );
}

const legend = () =>
  h(
    "p",
    { class: "legend" },
    ["history", "median", "interval_80", "interval_95"].map((one) =>
      h("span", {}, h("i", { class: `swatch ${one}` }), glossary(one)),
    ),
  );

function table({ horizons }) {
  const between = ([low, high]) => `${price(low)} – ${price(high)}`;
  const head = ["series.days", "series.median", "series.80", "series.95", "series.up"].map((one) =>
    h("th", { scope: "col" }, say(one)),
  );
  const rows = horizons.map((one) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, `+${one.days}`),
      [price(one.median), between(one.interval_80), between(one.interval_95), percent(one.up)].map((cell) =>
        h("td", {}, cell),
      ),
    ),
  );
  return h(
    "div",
    { class: "scroll", tabindex: "0" },
    h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows)),
  );
}
