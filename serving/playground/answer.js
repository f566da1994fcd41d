// An answer in words and bars, whatever its model; and who gave it.

import { h } from "./dom.js";
import { date, glossary, number, percent, say } from "./language/i18n.js";

/** The answer of a model that the page knows nothing of: its first field large, shares as bars, the rest by name. */
export function generic(model, output) {
  const odds = binary(model, output);
  const fields = Object.entries(output).filter(([name]) => !(odds && name === "probability"));
  const shown = fields.map(([name, value], index) => {
    const shares = name.startsWith("prob") && asShares(value);
    if (shares) return h("div", {}, h("h3", {}, glossary(name)), bars(shares));
    const title = h("h3", {}, index ? glossary(name) : [glossary(name), described(model, name)]);
    return h("div", {}, title, h("p", { class: index ? "figure" : "headline" }, plain(value)));
  });
  if (odds) shown.splice(1, 0, h("div", {}, bars(odds)));
  return shown;
}

function described(model, name) {
  const text = model.response[name]?.description;
  return text ? h("span", { class: "hint" }, ` · ${glossary(text)}`) : null;
}

function plain(value) {
  if (typeof value === "number") return number(value);
  if (typeof value === "string") return glossary(value);
  return JSON.stringify(value);
}

function asShares(value) {
  if (typeof value === "number") return value >= 0 && value <= 1 ? { "": value } : null;
  const shares = value && typeof value === "object" ? Object.entries(value) : [];
  return shares.length && shares.every(([, share]) => typeof share === "number") ? Object.fromEntries(shares) : null;
}

/** The class that a single probability is of. */
export const secondClass = (model, output) => Object.keys(binary(model, output) ?? {})[1];

/** Of two classes the API tells one probability. Which class it is of, the documented example answers show. */
function binary(model, { label, probability }) {
  if (typeof label !== "string" || typeof probability !== "number") return null;
  const seen = [...model.answers, { label, probability }];
  const second = new Set(seen.filter((one) => one.probability >= 0.5).map((one) => one.label));
  const first = new Set(seen.filter((one) => one.probability < 0.5).map((one) => one.label));
  if (second.size !== 1 || first.size !== 1) return { [label]: Math.max(probability, 1 - probability) };
  return { [[...first][0]]: 1 - probability, [[...second][0]]: probability };
}

/** Shares by name; the likeliest stands out. */
export function bars(shares) {
  const best = Math.max(...Object.values(shares));
  const row = ([name, share]) =>
    h(
      "li",
      { class: share === best ? "best" : null },
      name ? h("span", { class: "name" }, glossary(name)) : null,
      h("span", { class: "track", "aria-hidden": "true" }, h("i", { style: { width: `${100 * share}%` } })),
      h("span", { class: "share" }, percent(share)),
    );
  return h("ul", { class: "" in shares ? "bars alone" : "bars" }, Object.entries(shares).map(row));
}

/** Which model answered, and how long it took there and back. */
export function signature(model, { model: answered, ms }) {
  const facts = [
    glossary(answered?.name ?? model.name),
    `${say("version")} ${answered?.version ?? model.card.version}`,
    say(`profile.${answered?.profile ?? model.card.profile}`),
    answered?.source ?? model.card.source,
    ms === undefined ? null : `${number(Math.max(1, Math.round(ms)))} ms`,
  ];
  return h(
    "p",
    { class: "signature" },
    facts.filter(Boolean).map((fact) => h("span", {}, fact)),
  );
}

export function raw({ outputs, model }) {
  const text = JSON.stringify({ outputs, model }, null, 2).replace(/\[[\d\s.,eE+-]*\]/g, (list) =>
    list.replace(/\s+/g, " "),
  );
  return h("details", {}, h("summary", {}, say("raw")), h("pre", { tabindex: "0" }, text));
}

/** RFC 9457 in words. */
export function problemBox(problem) {
  const { errors = [], request_id: id } = problem.content;
  const items = errors
    .slice(0, 10)
    .map(({ pointer, detail }) => [pointer?.replace("#/inputs/0/", ""), detail].filter(Boolean).join(": "));
  const again = problem.retry && say("retry", { seconds: problem.retry });
  return h(
    "div",
    { class: "alert" },
    h("p", {}, h("strong", {}, title(problem))),
    items.length > 1 ? null : h("p", {}, problem.message),
    items.length > 1
      ? h(
          "ul",
          {},
          items.map((item) => h("li", {}, item)),
        )
      : null,
    again ? h("p", {}, again) : null,
    id ? h("p", { class: "hint" }, `X-Request-ID: ${id}`) : null,
  );
}

function title({ status, content }) {
  const key = `problem.${status}`;
  const said = say(key);
  return said === key ? (content.title ?? say("problem.0")) : said;
}

/** Where the model comes from. */
export function lineage({ card }) {
  const facts = {
    version: card.version,
    profile: card.profile && say(`profile.${card.profile}`),
    source: card.source,
    created: card.created && date(card.created),
    commit: card.git_commit?.replace(/^([0-9a-f]{12})[0-9a-f]*/, "$1"),
    size: card.size && bytes(card.size),
  };
  const found = Object.entries(facts).filter(([, value]) => value);
  return h(
    "dl",
    { class: "lineage" },
    found.map(([name, value]) => h("div", {}, h("dt", {}, say(name)), h("dd", {}, value))),
  );
}

function bytes(count) {
  const power = Math.min(3, Math.floor(Math.log10(count) / 3));
  return `${number(Number((count / 1000 ** power).toPrecision(3)))} ${["B", "kB", "MB", "GB"][power]}`;
}
