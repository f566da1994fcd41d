// The environments that run on the page: their physics, their picture and their keys.

import { cliff, dry, slippery } from "./grid.js";
import { hill } from "./hill.js";
import { links } from "./links.js";
import { pole } from "./pole.js";

/** The world of a request's field `observation`, or undefined: with other options its physics are not known here. */
export function worldOf(schema) {
  const options = schema?.["x-options"] ?? {};
  const { is_slippery: slips = true, map_name: map = "4x4", ...others } = options;
  if (schema?.["x-environment"] === "FrozenLake-v1" && map === "4x4" && !Object.keys(others).length)
    return slips ? slippery : dry;
  if (Object.keys(options).length) return undefined;
  return [pole, hill, links, cliff].find((world) => world.environments.includes(schema?.["x-environment"]));
}
