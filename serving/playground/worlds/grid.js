// Walks on a grid: FrozenLake's ice with holes, and the cliff of Sutton and Barto (example 6.6).

import { svg } from "../dom.js";
import { say } from "../language/i18n.js";

const CELL = 60;
const MOVES = { left: [0, -1], down: [1, 0], right: [0, 1], up: [-1, 0] };

/** rows: a letter for each cell; `arrive` says what follows a move into a cell: {to, reward, ended}. */
function grid({ name, environments, rows, actions, slips, limit, arrive }) {
  const [height, width] = [rows.length, rows[0].length];
  const cells = rows.join("");
  const key = { left: "ArrowLeft", right: "ArrowRight", up: "ArrowUp", down: "ArrowDown" };
  const moved = (place, towards) => {
    const [down, right] = MOVES[towards];
    const row = Math.min(height - 1, Math.max(0, Math.floor(place / width) + down));
    const column = Math.min(width - 1, Math.max(0, (place % width) + right));
    return row * width + column;
  };
  return {
    name,
    environments,
    seconds: 0.35,
    limit,
    turns: true, // it waits for a person's move
    keys: Object.fromEntries(actions.map((action, number) => [key[action], number])),
    actions,
    fresh: () => cells.indexOf("S"),
    observed: (state) => state,
    restored: Number,

    step(state, action) {
      const way = slips ? (action + Math.floor(Math.random() * 3) + 3) % 4 : action;
      const to = moved(state, actions[way]);
      return { state: to, ...arrive(cells[to], cells) }; // over the cliff the state is the start again
    },

    scene() {
      const squares = [...cells].map((letter, place) => {
        const [x, y] = [(place % width) * CELL, Math.floor(place / width) * CELL];
        const square = svg("rect", { class: `cell ${letter}`, x, y, width: CELL, height: CELL });
        return [square, "SG".includes(letter) ? svg("text", { x: x + 8, y: y + 20 }, letter) : null];
      });
      const arrow = svg("path", { class: "arrow" });
      const walker = svg("g", {}, svg("circle", { class: "walker", r: 14 }), arrow);
      const size = `-2 -2 ${width * CELL + 4} ${height * CELL + 4}`;
      const element = svg("svg", { class: "world grid", viewBox: size, role: "img" }, squares, walker);
      return {
        element,
        place(state) {
          const [row, column] = [Math.floor(state / width), state % width];
          walker.setAttribute("transform", `translate(${(column + 0.5) * CELL} ${(row + 0.5) * CELL})`);
          element.setAttribute("aria-label", say("play.grid.picture", { row: row + 1, column: column + 1 }));
        },
        push(action) {
          const [down, right] = MOVES[actions[action]];
          const turn = (Math.atan2(down, right) * 180) / Math.PI;
          arrow.setAttribute("d", "M17 0h11l-5-5m5 5l-5 5");
          arrow.setAttribute("transform", `rotate(${turn})`);
        },
      };
    },
  };
}

const lake = (slips) =>
  grid({
    name: "lake",
    environments: ["FrozenLake-v1"],
    rows: ["SFFF", "FHFH", "FFFH", "HFFG"],
    actions: ["left", "down", "right", "up"],
    slips,
    limit: 100,
    arrive: (cell) => ({ reward: cell === "G" ? 1 : 0, ended: { G: "arrived", H: "sank" }[cell] ?? null }),
  });

export const slippery = lake(true);
export const dry = lake(false);

export const cliff = grid({
  name: "cliff",
  environments: ["CliffWalking-v1"],
  rows: ["............", "............", "............", "SCCCCCCCCCCG"],
  actions: ["up", "right", "down", "left"],
  slips: false,
  limit: 200,
  arrive: (cell, cells) =>
    cell === "C"
      ? { state: cells.indexOf("S"), reward: -100, ended: null }
      : { reward: -1, ended: cell === "G" ? "arrived" : null },
});
