// The page's words in English and Chinese, and numbers as either writes them.

import * as en from "./en.js";
import * as zh from "./zh.js";

const LANGUAGES = { en, zh };

let spoken = chosen() ?? (navigator.language.startsWith("zh") ? "zh" : "en");

function chosen() {
  const asked = new URLSearchParams(location.search).get("lang") ?? stored();
  return Object.hasOwn(LANGUAGES, asked) ? asked : null;
}

function stored() {
  try {
    return localStorage.getItem("language");
  } catch {
    return null; // a browser may forbid storage
  }
}

export const language = () => spoken;
export const other = () => (spoken === "en" ? "zh" : "en");

export function speak(next) {
  spoken = next;
  try {
    localStorage.setItem("language", next);
  } catch {
    // then the choice lasts until the page is closed
  }
}

/** The page's own words. */
export function say(key, values = {}) {
  const text = LANGUAGES[spoken].WORDS[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** A name out of a model's schema or answer. */
export function glossary(name) {
  if (Object.hasOwn(LANGUAGES[spoken].NAMES, name)) return LANGUAGES[spoken].NAMES[name];
  return /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/.test(name)
    ? (name[0].toUpperCase() + name.slice(1)).replaceAll("_", " ")
    : name;
}

export function number(value) {
  const size = Math.abs(value);
  if (size >= 1e15 || (value !== 0 && size < 1e-4)) return value.toExponential(3);
  return value.toLocaleString(spoken, {
    maximumFractionDigits: size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 4,
  });
}

export const price = (value) =>
  Math.abs(value) < 1
    ? number(value)
    : value.toLocaleString(spoken, { minimumFractionDigits: 2, maximumFractionDigits: 2 });

export const percent = (share, digits = 1) =>
  share.toLocaleString(spoken, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits });

export function date(iso) {
  const when = new Date(iso);
  return isNaN(when) ? iso : when.toLocaleString(spoken, { dateStyle: "medium", timeStyle: "short" });
}
