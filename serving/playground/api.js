// What the page knows of the server: its cards, its OpenAPI document, and two ways to ask a model.

import { say } from "./language/i18n.js";

export class Problem extends Error {
  constructor(status, content, retry) {
    super(content.detail ?? content.title ?? `HTTP ${status}`);
    Object.assign(this, { status, content, retry });
  }
}

export const key = {
  get: () => sessionStorage.getItem("key") ?? "",
  set: (value) => (value ? sessionStorage.setItem("key", value) : sessionStorage.removeItem("key")),
};

async function call(path, options = {}) {
  const headers = { ...options.headers, ...(key.get() && { authorization: `Bearer ${key.get()}` }) };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: say("unreachable") });
  }
  if (response.ok) return response;
  if (response.status === 401) dispatchEvent(new Event("refused"));
  const content = await response.json().catch(() => ({}));
  throw new Problem(response.status, content, response.headers.get("retry-after"));
}

const post = (path, body, signal) =>
  call(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal });

/** Answers to `inputs`, and which model gave them. */
export async function predict(name, inputs) {
  const begun = performance.now();
  const response = await post(`models/${name}/predict`, { inputs });
  return { ...(await response.json()), ms: performance.now() - begun };
}

/** Lets an idle model be loaded: its schema is known from then on. */
export const wake = (name) => post(`models/${name}/predict`, { inputs: [] }).catch(() => {});

/** The server-sent events of an answer in the making: [name, content], one by one. */
export async function* stream(name, request, signal) {
  const response = await post(`models/${name}/stream`, request, signal);
  let text = "";
  for await (const chunk of chunks(response.body.pipeThrough(new TextDecoderStream()))) {
    const events = (text + chunk).split(/\r?\n\r?\n/);
    text = events.pop();
    for (const event of events) {
      const fields = event.split(/\r?\n/).map((line) => line.match(/^(\w+): ?(.*)$/) ?? []);
      const data = fields.filter(([, field]) => field === "data").map(([, , value]) => value);
      const kind = fields.find(([, field]) => field === "event")?.[2] ?? "message";
      if (data.length) yield [kind, JSON.parse(data.join("\n"))];
    }
  }
}

async function* chunks(readable) {
  // Safari cannot loop over a stream itself
  const reader = readable.getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** All models: their cards, and what the OpenAPI document says of their requests and answers. */
export async function load() {
  const [cards, api] = await Promise.all(["models", "openapi.json"].map((path) => call(path).then((r) => r.json())));
  return cards.models.map((card) => ({ card, name: card.name, ...describe(api, card.name) }));
}

function describe(api, name) {
  const route = api.paths[`/models/${name}/predict`]?.post;
  if (!route) return { served: false };
  const content = route.requestBody.content["application/json"];
  const answered = route.responses["200"].content["application/json"];
  const schema = (found) => resolve(api, found);
  const request = schema(schema(schema(content.schema).properties.inputs).items);
  const response = schema(schema(schema(answered.schema).properties.outputs).items);
  const entries = (type) => Object.entries(type.properties ?? {}).map(([field, found]) => [field, schema(found)]);
  const examples = Object.values(content.examples ?? {}).flatMap((example) => example.value.inputs);
  return {
    served: true,
    streams: `/models/${name}/stream` in api.paths,
    request: Object.fromEntries(entries(request)),
    required: request.required ?? [],
    response: Object.fromEntries(entries(response)),
    examples: examples.length ? examples : [request.example ?? {}],
    answers: answered.example?.outputs ?? [],
  };
}

/** A schema with its references followed, all the way down; "number or null" becomes a nullable number. */
function resolve(api, schema = {}) {
  if (schema.$ref) {
    const { $ref, ...rest } = schema;
    const target = $ref
      .split("/")
      .slice(1)
      .reduce((at, step) => at[step], api);
    return resolve(api, { ...target, ...rest });
  }
  const found = { ...schema };
  if (schema.anyOf) {
    const kinds = schema.anyOf.map((kind) => resolve(api, kind)).filter((kind) => kind.type !== "null");
    const nullable = kinds.length < schema.anyOf.length;
    if (kinds.length === 1)
      Object.assign(found, { anyOf: undefined }, kinds[0], schema.title && { title: schema.title });
    else found.anyOf = kinds;
    if (nullable) found.nullable = true;
  }
  if (found.items) found.items = resolve(api, found.items);
  return found;
}
