// Elements without markup: nothing that comes from the cluster is ever read as HTML.

/** An element. `props` are attributes; `on*` are listeners, `style` an object, absent ones are left out. */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  return fill(element, props, children);
}

/** The same for SVG. */
export function svg(tag, props, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  return fill(element, props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, to] of Object.entries(value)) element.style.setProperty(key, to);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

/** Puts new children in, and keeps focus on the one with the same `data-key`. */
export function render(container, ...children) {
  const active = container.contains(document.activeElement) ? document.activeElement.closest("[data-key]") : null;
  const key = active?.dataset.key;
  container.replaceChildren(...children.flat(Infinity).filter(Boolean));
  if (key !== undefined) container.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

/** The element of an id. */
export const at = (id) => document.getElementById(id);

/** Radio buttons in a row. */
export function segments(fieldset, name, options, chosen, choose) {
  const label = ([value, text]) => h("label", {},
    h("input", { type: "radio", name, value, checked: value === chosen, onchange: () => choose(value) }), text);
  fieldset.append(...options.map(label));
}

/** Says something to who listens instead of looking. */
export function say(text) {
  at("said").textContent = text;
}
