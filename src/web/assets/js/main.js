// The page: puts its parts together, and follows the address.

import { at, h, segments } from "./dom.js";
import { connection, load, on, state } from "./store.js";
import { forget, isDark } from "./palette.js";
import * as map from "./map.js";
import * as figures from "./figures.js";
import * as side from "./side.js";
import * as detail from "./detail.js";
import * as legend from "./legend.js";
import * as search from "./search.js";
import * as table from "./table.js";
import * as timeline from "./timeline.js";
import * as whatIf from "./what-if.js";

const container = at("side");

// --- the address

const route = () => location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);

/** Shows what the address says; `focus` when somebody went there. */
function follow(focus) {
  const [kind, ...names] = route();
  map.options.only = kind === "namespace" ? names[0] : undefined;
  map.select(kind === "node" ? names[0] : undefined);
  if (kind === "node" && names.length === 1) detail.node(container, names[0], focus);
  else if (kind === "pod" && names.length === 2) detail.pod(container, names[0], names[1], focus);
  else if (kind === "gang" && names.length >= 2) detail.gang(container, names[0], names.slice(1).join("/"), focus);
  else if (kind === "claim" && names.length === 2) detail.claim(container, names[0], names[1], focus);
  else if (kind === "namespace" && names.length === 1) detail.namespace(container, names[0], focus);
  else if (kind === "what-if") {
    detail.leave();
    if (focus || !at("manifest")) whatIf.open(container, focus);
  } else {
    detail.leave();
    side.overview(container);
  }
  legend.show();
}

// --- where the map is

function crumbs() {
  const { zone, rack, clique, node } = map.where();
  const steps = [["Fleet", map.showAll]];
  if (zone !== undefined) steps.push([zone || "no zone known", () => map.showZone(zone)]);
  if (rack !== undefined) steps.push([clique ? `NVLink domain …${rack.slice(-8)}` : rack || "no rack known", () => map.showRack(zone, rack)]);
  if (node !== undefined) steps.push([node, () => map.showNode(node)]);
  const text = steps.map(([name]) => name).join(" › ");
  const box = at("crumbs");
  if (box.dataset.text === text) return;
  box.dataset.text = text;
  box.replaceChildren(...steps.flatMap(([name, go], at) => [
    at > 0 && h("i", { "aria-hidden": "true" }, "›"),
    h("button", { type: "button", "aria-current": at === steps.length - 1 ? "location" : undefined, onclick: go }, name),
  ].filter(Boolean)));
}

// --- the connection

function live() {
  const words = { connecting: "connecting", live: "live", lost: "reconnecting" };
  const box = at("live");
  box.classList.toggle("on", connection === "live");
  if (box.lastElementChild.textContent !== words[connection]) box.lastElementChild.textContent = words[connection];
}

// --- the theme

function recolour() {
  forget();
  map.repaint();
  legend.show();
  timeline.redraw();
  follow(false);
}

function theme() {
  at("theme").addEventListener("click", () => {
    const to = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = to;
    localStorage.setItem("testudo-theme", to);
    recolour();
  });
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", recolour);
}

// --- everything

map.start();
figures.start();
side.start();
legend.start();
search.start();
table.start();
timeline.start();
theme();
map.onMove(crumbs);
segments(at("views"), "view", [["map", "Map"], ["table", "Table"]], "map", (view) => {
  at("canvas").hidden = view !== "map";
  at("table").hidden = view !== "table";
  table.show();
});

on("connection", live);
on("layout", () => {
  at("loading").hidden = true;
  at("title").textContent = state.title;
  document.title = `${state.title} · Testudo`;
  if (state.faces.size === 0) {
    at("loading").textContent = "No node has accelerators.";
    at("loading").hidden = false;
  }
});
// What is on show is asked for again when it may have changed, though not all the time.
let stale = 0;
on("nodes gangs claims layout", () => {
  const [kind] = route();
  if (!["node", "pod", "gang", "claim", "namespace"].includes(kind) || stale) return;
  stale = setTimeout(() => {
    stale = 0;
    if (!container.matches(":has(:focus-visible)")) follow(false);
  }, 2000);
});
addEventListener("hashchange", () => follow(true));
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.defaultPrevented && route().length > 0 && !event.target.closest?.(".search")) location.hash = "#/";
});

await load();
follow(false);
crumbs();
live();
