// Draw on a square: for requests that are one image of grey values.

import { bars, generic } from "../answer.js";
import { examples } from "../bench.js";
import { h } from "../dom.js";
import { glossary, say } from "../language/i18n.js";

export const kind = "draw";
const SIDE = 280; // pixels of the pad
const PEN = 22;

export function fits({ request }) {
  return Object.keys(request).length === 1 && Boolean(rows(request.image));
}

/** The schema of rows of grey values among what an image may be. */
const rows = (image) =>
  [image, ...(image?.anyOf ?? [])].find((one) => ["integer", "number"].includes(one?.items?.items?.type));

export function build(model, bench) {
  const size = rows(model.request.image).minItems ?? model.examples[0].image.length;
  const fill = Math.max(
    ...model.examples.map(({ image }) => Math.max(bounds(image).width, bounds(image).height) / size),
  );
  const pad = h("canvas", {
    class: "pad",
    width: SIDE,
    height: SIDE,
    tabindex: "0",
    role: "application",
    "aria-label": say("draw.pad"),
  });
  const seen = grid(blank(size));
  const pen = pad.getContext("2d", { willReadFrequently: true });
  let pixels = false; // whether the pad shows an example, not strokes
  let empty = true;

  function wipe() {
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, SIDE, SIDE);
    pixels = false;
    empty = true;
    paint(seen, blank(size));
  }

  function load({ image }) {
    wipe();
    const large = grid(image);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(large, 0, 0, SIDE, SIDE);
    paint(seen, image);
    pixels = true;
    empty = image.flat().every((grey) => !grey);
  }

  function line(from, to) {
    if (pixels) wipe();
    Object.assign(pen, { lineWidth: PEN, lineCap: "round", lineJoin: "round", strokeStyle: "#fff" });
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(to[0] + 0.1, to[1]); // a line without length would leave no dot
    pen.stroke();
    empty = false;
  }

  function ask() {
    if (empty) return;
    const image = look(pen.getImageData(0, 0, SIDE, SIDE), size, fill);
    paint(seen, image);
    bench.ask({ image });
  }

  wipe();
  strokes(pad, line, ask);
  keys(pad, line, ask);
  const clear = () => {
    wipe();
    bench.reset(null);
    pad.focus();
  };
  return {
    load,
    input: [
      h("div", { class: "drawing" }, pad, h("figure", {}, seen, h("figcaption", {}, say("modelSees", { size })))),
      h("div", { class: "actions" }, h("button", { type: "button", onclick: clear }, say("clear"))),
      examples(
        model,
        (example) => (load(example), bench.ask(example)),
        ({ image }) => grid(image),
      ),
      h("p", { class: "hint" }, say("draw.keys")),
    ],
    answer: (output) => digit(output) ?? generic(model, output),
  };
}

function digit({ digit, probabilities }) {
  if (digit === undefined || !Array.isArray(probabilities)) return null;
  return [
    h("h3", {}, glossary("digit")),
    h("p", { class: "headline huge" }, String(digit)),
    bars({ ...probabilities }),
  ];
}

function strokes(pad, line, ask) {
  let last = null;
  const at = (event) => {
    const box = pad.getBoundingClientRect();
    return [((event.clientX - box.left) * SIDE) / box.width, ((event.clientY - box.top) * SIDE) / box.height];
  };
  const draw = (event) => {
    const to = at(event);
    line(last ?? to, to);
    last = to;
  };
  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    draw(event);
  });
  pad.addEventListener("pointermove", (event) => {
    if (!last) return;
    const passed = event.getCoalescedEvents?.() ?? [];
    for (const one of passed.length ? passed : [event]) draw(one);
    ask();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    pad.addEventListener(end, () => {
      if (last) ask();
      last = null;
    });
  }
}

/** Arrows move the pen; Space puts it down and lifts it. */
function keys(pad, line, ask) {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  let place = [SIDE / 2, SIDE / 4];
  let down = false;
  pad.addEventListener("keydown", (event) => {
    if (event.key === " ") {
      down = !down;
      if (down) line(place, place);
      pad.classList.toggle("down", down);
    } else if (moves[event.key]) {
      const to = place.map((one, axis) => Math.min(Math.max(one + 12 * moves[event.key][axis], PEN), SIDE - PEN));
      if (down) line(place, to);
      place = to;
    } else return;
    event.preventDefault();
    if (down) ask();
  });
  pad.addEventListener("blur", () => (down = false));
}

const blank = (size) => Array.from({ length: size }, () => new Array(size).fill(0));

function grid(image) {
  const canvas = h("canvas", { class: "pixels", width: image.length, height: image.length, "aria-hidden": "true" });
  paint(canvas, image);
  return canvas;
}

function paint(canvas, image) {
  const pen = canvas.getContext("2d");
  const pixels = pen.createImageData(canvas.width, canvas.height);
  image.flat().forEach((grey, index) => pixels.data.set([grey, grey, grey, 255], 4 * index));
  pen.putImageData(pixels, 0, 0);
}

function bounds(rows) {
  let [left, right, top, bottom] = [Infinity, -1, Infinity, -1];
  rows.forEach((row, y) =>
    row.forEach((grey, x) => {
      if (grey <= 25) return;
      [left, right] = [Math.min(left, x), Math.max(right, x)];
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
    }),
  );
  return { left, top, width: right - left + 1, height: bottom - top + 1 };
}

/** The drawing as training images are: as large in its square as theirs, centred, each pixel the mean of its area. */
function look({ data }, size, fill) {
  const rows = Array.from({ length: SIDE }, (_, y) => Array.from({ length: SIDE }, (_, x) => data[4 * (y * SIDE + x)]));
  const box = bounds(rows);
  const step = Math.max(box.width, box.height) / (fill * size); // source pixels of a target pixel
  const left = box.left + box.width / 2 - (step * size) / 2;
  const top = box.top + box.height / 2 - (step * size) / 2;
  const mean = areas(rows);
  return blank(size).map((row, y) => row.map((_, x) => Math.round(mean(left + x * step, top + y * step, step))));
}

/** Sums over all rectangles from the corner make the mean of any square four look-ups. */
function areas(rows) {
  const sums = [new Float64Array(SIDE + 1)];
  rows.forEach((row, y) => {
    const line = new Float64Array(SIDE + 1);
    row.forEach((grey, x) => (line[x + 1] = line[x] + grey));
    sums.push(line.map((value, x) => value + sums[y][x]));
  });
  const sum = (x, y) => {
    const [u, v] = [x, y].map((one) => Math.min(Math.max(one, 0), SIDE));
    const [i, j] = [u, v].map((one) => Math.min(Math.floor(one), SIDE - 1));
    const along = (at) => sums[at][i] + (u - i) * (sums[at][i + 1] - sums[at][i]);
    return along(j) + (v - j) * (along(j + 1) - along(j));
  };
  return (x, y, step) => (sum(x + step, y + step) - sum(x, y + step) - sum(x + step, y) + sum(x, y)) / step ** 2;
}
