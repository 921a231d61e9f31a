// Search: asked of the server while typing; arrows and Enter go through what was found.

import { at, h, say } from "./dom.js";
import { ask } from "./store.js";
import { many, path } from "./format.js";

const input = at("query");
const list = at("found");
let found = [];
let chosen = -1;
let asked = 0;

const target = (item) => (item.namespace ? path(item.kind, item.namespace, item.name) : path(item.kind, item.name));

function close() {
  asked += 1;
  list.hidden = true;
  input.setAttribute("aria-expanded", "false");
  input.removeAttribute("aria-activedescendant");
}

function choose(index) {
  chosen = index;
  [...list.children].forEach((item, number) => item.setAttribute("aria-selected", String(number === chosen)));
  if (chosen >= 0) {
    input.setAttribute("aria-activedescendant", `found-${chosen}`);
    list.children[chosen].scrollIntoView({ block: "nearest" });
  } else input.removeAttribute("aria-activedescendant");
}

function go(item) {
  close();
  input.value = "";
  location.hash = target(item);
}

async function search() {
  const text = input.value.trim();
  if (!text) return close();
  const own = ++asked;
  try {
    const answer = await ask(`/search?q=${encodeURIComponent(text)}`);
    if (own !== asked) return;
    found = answer;
  } catch (error) {
    if (own !== asked) return;
    found = [];
    say(error.message);
  }
  list.replaceChildren(...(found.length === 0 ? [h("li", { class: "none", role: "option", "aria-disabled": "true" }, "Nothing has that in its name")]
    : found.map((item, number) => h("li", { id: `found-${number}`, role: "option", "aria-selected": "false", onclick: () => go(item) },
      h("span", { class: "kind" }, item.kind), h("span", {}, item.namespace ? `${item.namespace}/${item.name}` : item.name), item.note && h("span", { class: "note" }, item.note)))));
  list.hidden = false;
  input.setAttribute("aria-expanded", "true");
  choose(found.length ? 0 : -1);
  say(found.length ? `${many(found.length, "result")}` : "Nothing found");
}

export function start() {
  let typing = 0;
  input.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(search, 120);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && found.length) choose((chosen + 1) % found.length);
    else if (event.key === "ArrowUp" && found.length) choose((chosen + found.length - 1) % found.length);
    else if (event.key === "Enter" && !list.hidden && found[chosen]) go(found[chosen]);
    else if (event.key === "Escape") {
      if (list.hidden) input.value = "";
      close();
    } else return;
    event.preventDefault();
  });
  // Before the list is gone what was clicked in it must be heard.
  input.addEventListener("blur", () => setTimeout(close, 160));
  document.addEventListener("keydown", (event) => {
    const types = event.target.closest?.("input:not([type=radio]), textarea");
    if (event.key === "/" && !types && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      input.focus();
      input.select();
    }
  });
}
