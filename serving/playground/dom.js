// Elements without innerHTML: nothing that a model or a person writes can become markup.

const builder = (create) => {
  return (tag, attributes = {}, ...children) => {
    const element = create(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
      else if (name === "value") element.value = value;
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(
      ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
    );
    return element;
  };
};

export const h = builder((tag) => document.createElement(tag));
export const svg = builder((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));

const ICONS = {
  draw: "M4 20l1-4L16 5l3 3L8 19z M14 7l3 3",
  picture: "M4 5h16v14H4z M4 16l5-5 4 4 3-3 4 4 M15.5 9h.01",
  text: "M4 6h16 M4 11h10 M4 16h16 M17 11h3",
  translate: "M4 6h9 M8.5 4v2 M11 6c-1 4-4 6-7 7 M6 9c1 2 3 4 6 4 M13 20l4-9 4 9 M14.5 17h5",
  compare: "M4 5h6v14H4z M14 5h6v14h-6z",
  form: "M4 7h16 M4 12h16 M4 17h16 M9 5v4 M15 10v4 M7 15v4",
  play: "M3 19h18 M7 15h10v-3H7z M12 12l3-9 M9 19a1 1 0 1 0 .01 0 M15 19a1 1 0 1 0 .01 0",
  series: "M4 4v16h16 M7 14l3-4 3 3 6-7",
  words: "M5 7h.01 M9 12h.01 M6 17h.01 M14 6h.01 M18 10h.01 M15 16h.01 M19 18h.01 M12 10l4-2",
  chat: "M4 5h16v11H10l-4 4v-4H4z M8 9h8 M8 12h5",
  write: "M4 6l5 5-5 5 M12 17h8",
};

export const icon = (name) =>
  svg("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
