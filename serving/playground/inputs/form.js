// One field per key of the request: for everything that no other widget knows, and for tables.

import { generic } from "../answer.js";
import { examples } from "../bench.js";
import { curve } from "./curve.js";
import { h } from "../dom.js";
import { glossary, number, say } from "../language/i18n.js";

export const kind = "form";
const CHIPS = 10; // levels that are shown side by side
export const fits = () => true;

export function build(model, bench) {
  let input = structuredClone(model.examples[0]);
  const set = (name, value) => {
    if (value === undefined) delete input[name];
    else input[name] = value;
    touched = name;
    bench.ask({ ...input });
  };
  let touched = null;
  const figure = h("figure", { class: "curve" });
  const fields = Object.entries(model.request).map(([name, schema]) =>
    field(name, schema, model.required.includes(name), set),
  );
  const load = (request) => {
    input = structuredClone(request);
    for (const one of fields) one.load(input[one.name]);
  };
  const use = (example) => (load(example), (touched = null), bench.ask({ ...example }));
  load(input);
  return {
    load,
    first: () => bench.ask({ ...input }),
    input: h(
      "form",
      { class: "stack", novalidate: true, onsubmit: (event) => (event.preventDefault(), bench.ask({ ...input })) },
      h(
        "div",
        { class: "fields" },
        fields.map((one) => one.element),
      ),
      examples(model, use),
    ),
    answer(output, request) {
      // What a policy chooses jumps from step to step: no curve.
      const acts = Object.values(model.request).some((schema) => schema["x-environment"]);
      const ranged = Object.keys(model.request).filter((name) => !acts && range(model.request[name]));
      const name = touched && ranged.includes(touched) ? touched : ranged[0];
      if (name) curve(figure, model, request, name, range(model.request[name]));
      return [generic(model, output), name ? figure : null];
    },
    mark(problem) {
      const faults = (problem?.content.errors ?? []).map(({ pointer, detail }) => [
        decodeURIComponent(pointer ?? ""),
        detail,
      ]);
      for (const one of fields)
        one.mark(
          faults.find(([at]) => at === `#/inputs/0/${one.name.replaceAll("~", "~0").replaceAll("/", "~1")}`)?.[1],
        );
    },
  };
}

/** From where to where a number goes on its slider: as seen in training, or as far as the schema lets it. */
export function range(schema) {
  if (!["number", "integer"].includes(schema.type)) return null;
  const [low, high] = schema["x-seen"] ?? [
    schema.minimum ?? schema.exclusiveMinimum,
    schema.maximum ?? schema.exclusiveMaximum,
  ];
  return Number.isFinite(low) && Number.isFinite(high) && low < high && high - low < 1e9 ? [low, high] : null;
}

function field(name, schema, required, set) {
  const id = `field-${name}`;
  const levels =
    schema.enum ?? (schema.type === "boolean" ? [true, false] : schema.type === "string" && schema["x-seen"]);
  const make = levels
    ? levels.length > CHIPS
      ? choice
      : chips
    : range(schema)
      ? slider
      : schema["x-parts"]
        ? parts
        : ["object", "array"].includes(schema.type) || schema.anyOf
          ? json
          : text;
  const control = make({ id, name, schema, levels, required, set: (value) => set(name, value) });
  const fault = h("p", { class: "fault", id: `${id}-fault` });
  const told = schema["x-seen"] || schema["x-parts"]; // by the ends of its sliders
  const hint = schema.description && !told ? h("p", { class: "hint" }, schema.description) : null;
  const grouped = make === chips || make === parts;
  const title = h(grouped ? "legend" : "label", { for: grouped ? null : id }, glossary(name));
  return {
    name,
    load: control.load,
    element: h(
      grouped ? "fieldset" : "div",
      { class: "field", "data-field": name },
      control.box ? h("div", { class: "told" }, title, control.box) : title,
      control.element,
      hint,
      fault,
    ),
    mark(text) {
      fault.textContent = text ?? "";
      control.focus?.setAttribute("aria-invalid", String(Boolean(text)));
      control.focus?.setAttribute("aria-describedby", fault.id);
    },
  };
}

/** Radio buttons that look like chips: arrows move among them. */
function chips({ id, levels, required, set }) {
  const all = required ? levels : [...levels, undefined];
  const radios = all.map((level) => h("input", { type: "radio", name: id, onchange: () => set(level) }));
  const shown = (level) =>
    level === undefined ? say("unknown") : typeof level === "boolean" ? say(String(level)) : glossary(String(level));
  return {
    element: h(
      "div",
      { class: "chips" },
      all.map((level, index) =>
        h("label", { class: level === undefined ? "chip quiet" : "chip" }, radios[index], h("span", {}, shown(level))),
      ),
    ),
    load: (value) => radios.forEach((radio, index) => (radio.checked = all[index] === (value ?? undefined))),
  };
}

function choice({ id, levels, required, set }) {
  const options = levels.map((level) => h("option", { value: level }, glossary(String(level))));
  const select = h(
    "select",
    { id, onchange: () => set(select.value || undefined) },
    required ? null : h("option", { value: "" }, say("unknown")),
    options,
  );
  return { element: select, focus: select, load: (value) => (select.value = value ?? "") };
}

/** A slider and a box for the same number; where most of a wide range is small numbers, the slider is logarithmic. */
function slider({ id, name, schema, required, set }) {
  const [low, high] = range(schema);
  const log = low > 0 && high / low >= 1000;
  const whole = schema.type === "integer" || (Number.isInteger(low) && Number.isInteger(high) && high - low > 1);
  const step = whole ? 1 : 10 ** Math.floor(Math.log10((high - low) / 200));
  const rounded = (value) => Number((log ? Number(value.toPrecision(3)) : Math.round(value / step) * step).toFixed(6));
  const to = (value) =>
    log ? Math.log(Math.max(value, low) / low) / Math.log(high / low) : (value - low) / (high - low);
  const from = (place) =>
    Math.min(high, Math.max(low, rounded(log ? low * (high / low) ** place : low + place * (high - low))));
  const bar = h("input", {
    type: "range",
    min: 0,
    max: 1,
    step: "any",
    "aria-label": glossary(name),
    oninput: () => slid(from(Number(bar.value))),
  });
  const box = h("input", {
    id,
    inputmode: "decimal",
    autocomplete: "off",
    placeholder: say("unknown"),
    oninput: typed,
  });
  bar.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
    if (!steps) return;
    event.preventDefault();
    slid(from(Math.min(1, Math.max(0, Number(bar.value) + steps * Math.max(0.005, log ? 0 : step / (high - low))))));
  });

  function slid(value) {
    show(value);
    set(value);
  }

  function show(value) {
    const known = typeof value === "number";
    box.value = known ? String(value) : (value ?? "");
    place(known ? value : null);
  }

  function place(value) {
    bar.value = value === null ? 0.5 : to(value);
    bar.classList.toggle("unknown", value === null);
    bar.setAttribute("aria-valuetext", value === null ? say("unknown") : number(value));
  }

  function typed() {
    const text = box.value.trim();
    const value = Number(text.replace(",", "."));
    place(text && Number.isFinite(value) ? value : null);
    set(text === "" && !required ? undefined : text !== "" && Number.isFinite(value) ? value : box.value);
  }

  return { element: bar, box, focus: box, load: show };
}

/** Numbers that belong together, each with a slider. */
function parts({ id, schema, set }) {
  let values = [];
  const each = schema["x-parts"].map(({ title, ...about }, place) => {
    const change = (value) => {
      values = values.with(place, value);
      set(values);
    };
    const kind = { type: "number", ...about };
    const one = { id: `${id}-${place}`, name: title, schema: kind, required: true, set: change };
    const { element, box, load } = slider(one);
    const label = h("label", { for: one.id }, glossary(title));
    return { load, element: h("div", { class: "field" }, h("div", { class: "told" }, label, box), element) };
  });
  return {
    element: h("div", { class: "fields" }, each.map(({ element }) => element)),
    load: (found) => {
      values = [...(found ?? [])];
      each.forEach(({ load }, place) => load(values[place]));
    },
  };
}

function text({ id, schema, required, set }) {
  const long = schema.type === "string" && (schema.maxLength ?? Infinity) > 200;
  const numeric = ["number", "integer"].includes(schema.type);
  const box = h(long ? "textarea" : "input", {
    id,
    autocomplete: "off",
    inputmode: numeric ? "decimal" : null,
    oninput: typed,
  });
  function typed() {
    const value = Number(box.value);
    if (box.value.trim() === "" && !required) set(undefined);
    else set(numeric && box.value.trim() && Number.isFinite(value) ? value : box.value);
  }
  return { element: box, focus: box, load: (value) => (box.value = value ?? "") };
}

/** What has no control of its own is typed as JSON. */
function json({ id, set }) {
  const box = h("textarea", { id, class: "mono", rows: 3, spellcheck: "false", oninput: typed });
  function typed() {
    try {
      set(box.value.trim() ? JSON.parse(box.value) : undefined);
      box.setAttribute("aria-invalid", "false");
    } catch {
      box.setAttribute("aria-invalid", "true"); // goes on being typed
    }
  }
  return { element: box, focus: box, load: (value) => (box.value = value === undefined ? "" : JSON.stringify(value)) };
}
