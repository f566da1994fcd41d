// The page: which models there are, which one is shown, and the key where the server wants one.

import { key, load, wake } from "./api.js";
import { lineage, problemBox } from "./answer.js";
import { bench } from "./bench.js";
import { h, icon } from "./dom.js";
import { glossary, language, other, say, speak } from "./language/i18n.js";
import * as chat from "./inputs/chat.js";
import * as compare from "./inputs/compare.js";
import * as draw from "./inputs/draw.js";
import * as form from "./inputs/form.js";
import * as picture from "./inputs/picture.js";
import * as play from "./inputs/play.js";
import * as series from "./inputs/series.js";
import * as text from "./inputs/text.js";
import * as translate from "./inputs/translate.js";
import * as words from "./inputs/words.js";
import * as write from "./inputs/write.js";

// The first that fits a model shows it: what its schema tells decides, not its name.
const WIDGETS = [draw, picture, text, translate, words, play, series, chat, compare, write, form];

const byId = (id) => document.getElementById(id);
const states = new Map(); // by project, while the page is open
let models = [];
let shown = null; // the bench

async function start() {
  labels();
  byId("model").replaceChildren(h("p", { class: "empty" }, say("loading")));
  try {
    models = ordered(await load());
  } catch (problem) {
    return byId("model").replaceChildren(problemBox(problem));
  }
  render();
}

function render() {
  labels();
  shown?.leave();
  if (!models.length) return byId("model").replaceChildren(h("p", { class: "card empty" }, say("noModels")));
  const wanted = decodeURIComponent(location.hash.slice(1));
  const model = models.find(({ name }) => name === wanted) ?? models.find(({ served }) => served) ?? models[0];
  byId("models").replaceChildren(...models.map((one) => entry(one, one === model)));
  byId("models").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  if (model.card.status === "idle" && !model.served) return rouse(model);
  const widget = widgetOf(model);
  const title = h("h2", { tabindex: "-1" }, glossary(model.name), h("code", {}, model.name));
  const head = h(
    "div",
    { class: "head" },
    title,
    h("p", {}, say(model.served ? `${widget.kind}.invitation` : "refused")),
  );
  if (!states.has(model.name)) states.set(model.name, {});
  shown = model.served ? bench(model, widget, states.get(model.name)) : null;
  const reason = model.card.reason && h("div", { class: "alert" }, h("p", {}, model.card.reason));
  byId("model").replaceChildren(head, ...(reason ? [reason] : []), ...(shown?.element ?? []), about(model));
}

/** A model that is not loaded yet has no schema to build from. */
async function rouse(model) {
  byId("model").replaceChildren(h("p", { class: "card empty" }, say("rousing", { name: glossary(model.name) })));
  await wake(model.name);
  models = ordered(await load());
  // Had it not been loaded now, this would go on for ever.
  for (const one of models) if (one.name === model.name && !one.served) one.card.status = "refused";
  render();
}

const ordered = (found) => found.sort((a, b) => WIDGETS.indexOf(widgetOf(a)) - WIDGETS.indexOf(widgetOf(b)));
const widgetOf = (model) => (model.served ? WIDGETS.find((widget) => widget.fits(model)) : form);

function entry(model, current) {
  const inside = [icon(widgetOf(model).kind), h("span", {}, glossary(model.name))];
  const href = `#${encodeURIComponent(model.name)}`;
  return h(
    "li",
    {},
    h("a", { href, class: model.served ? null : "off", "aria-current": current ? "page" : null }, inside),
  );
}

function about(model) {
  return h("section", { class: "card about", "aria-label": say("about") }, h("h3", {}, say("about")), lineage(model));
}

function labels() {
  document.documentElement.lang = language() === "zh" ? "zh-CN" : "en";
  document.title = say("title");
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  byId("models").parentElement.setAttribute("aria-label", say("models"));
  byId("language").textContent = say("language");
  byId("language").lang = other();
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key.set(byId("key").value.trim());
  byId("key-form").hidden = Boolean(key.get());
  start();
});
byId("language").addEventListener("click", () => {
  speak(other());
  if (models.length) render();
  else start();
});
addEventListener("refused", () => {
  byId("key-form").hidden = false;
  byId("key").focus();
});
addEventListener("hashchange", () => {
  if (!models.length) return;
  render();
  byId("model").querySelector("h2").focus({ preventScroll: true });
});
start();
