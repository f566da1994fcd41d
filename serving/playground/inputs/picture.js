// Upload, drop or paste a picture: for requests that are one small colour image.

import { bars, generic } from "../answer.js";
import { examples } from "../bench.js";
import { h } from "../dom.js";
import { glossary, say } from "../language/i18n.js";

export const kind = "picture";

export function fits({ request }) {
  return Object.keys(request).length === 1 && Boolean(rows(request.image));
}

/** The schema of rows of [red, green, blue] among what an image may be. */
const rows = (image) => image?.anyOf?.find((one) => one.items?.items?.maxItems === 3);

export function build(model, bench) {
  const size = rows(model.request.image).minItems;
  const shown = h("canvas", {
    class: "pixels large",
    width: size,
    height: size,
    role: "img",
    "aria-label": say("modelSees", { size }),
  });
  shown.getContext("2d", { willReadFrequently: true });
  const figure = h("figure", { hidden: true }, shown, h("figcaption", {}, say("modelSees", { size })));
  const file = h("input", {
    type: "file",
    accept: "image/*",
    class: "hidden",
    id: "file",
    onchange: () => take(file.files[0]),
  });
  const zone = h(
    "label",
    { class: "drop", for: "file" },
    h("strong", {}, say("picture.choose")),
    h("span", { class: "hint" }, say("picture.hint", { size })),
  );

  async function take(blob) {
    if (!blob) return;
    try {
      const bitmap = await createImageBitmap(blob);
      draw(shown, bitmap);
      figure.hidden = false;
      bench.ask({ image: pixels(shown) });
    } catch {
      bench.fail(new Error(say("picture.broken", { name: blob.name ?? "" })));
    }
    file.value = ""; // so that the same file can be chosen again
  }

  async function load({ image }) {
    if (typeof image === "string") draw(shown, await createImageBitmap(await decoded(image)));
    else putPixels(shown, image);
    figure.hidden = false;
  }

  const use = (example) => load(example).then(() => bench.ask(example));
  const drop = {
    ondragover: (event) => (event.preventDefault(), zone.classList.add("over")),
    ondragleave: () => zone.classList.remove("over"),
    ondrop: (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      take(event.dataTransfer.files[0]);
    },
    onpaste: (event) => take([...event.clipboardData.files][0]),
  };
  return {
    load,
    first: () => use(model.examples[0]),
    input: h(
      "div",
      { class: "stack", ...drop },
      file,
      zone,
      figure,
      examples(model, use, ({ image }) => thumbnail(image, size)),
    ),
    answer(output) {
      if (!output.label || !output.probabilities) return generic(model, output);
      const likeliest = Object.entries(output.probabilities).sort(([, a], [, b]) => b - a);
      return [
        h("h3", {}, glossary("label")),
        h("p", { class: "headline" }, glossary(output.label)),
        bars(Object.fromEntries(likeliest)),
      ];
    },
  };
}

function thumbnail(image, size) {
  const canvas = h("canvas", { class: "pixels", width: size, height: size, "aria-hidden": "true" });
  if (typeof image === "string")
    decoded(image)
      .then(createImageBitmap)
      .then((bitmap) => draw(canvas, bitmap));
  else putPixels(canvas, image);
  return canvas;
}

async function decoded(base64) {
  const bytes = Uint8Array.from(atob(base64.replace(/^data:.*?,/, "")), (char) => char.charCodeAt(0));
  return new Blob([bytes]);
}

/** The middle square of the picture, halved until it is small: one step would skip pixels. */
function draw(canvas, bitmap) {
  const side = Math.min(bitmap.width, bitmap.height);
  let source = bitmap;
  let cut = [(bitmap.width - side) / 2, (bitmap.height - side) / 2, side];
  while (cut[2] > 2 * canvas.width) {
    const half = new OffscreenCanvas(Math.ceil(cut[2] / 2), Math.ceil(cut[2] / 2));
    fit(half.getContext("2d"), source, cut, half.width);
    [source, cut] = [half, [0, 0, half.width]];
  }
  fit(canvas.getContext("2d"), source, cut, canvas.width);
}

function fit(pen, source, [left, top, side], size) {
  pen.fillStyle = "#fff"; // beneath what is transparent
  pen.fillRect(0, 0, size, size);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(source, left, top, side, side, 0, 0, size, size);
}

function pixels(canvas) {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const pixel = (y, x) => Array.from(data.subarray(4 * (y * width + x), 4 * (y * width + x) + 3));
  return Array.from({ length: height }, (_, y) => Array.from({ length: width }, (_, x) => pixel(y, x)));
}

function putPixels(canvas, image) {
  const pen = canvas.getContext("2d");
  const target = pen.createImageData(canvas.width, canvas.height);
  image.flat().forEach((rgb, index) => target.data.set([...rgb, 255], 4 * index));
  pen.putImageData(target, 0, 0);
}
