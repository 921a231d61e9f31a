// What the colours of the map mean.

import { at, h, segments, svg } from "./dom.js";
import { on, state } from "./store.js";
import { MODES, fullName, held } from "./cells.js";
import { ageColour, colourOf, token, wasteColour } from "./palette.js";
import { devices, path } from "./format.js";
import { options, repaint } from "./map.js";

const box = at("legend");
const MOST = 5;

const swatch = (colour) => h("span", { class: "swatch", style: { background: colour } });

// A bar of colours from one end to the other.
function scale(from, to, colour) {
  const bar = svg("svg", { width: 112, height: 9, "aria-hidden": "true" },
    Array.from({ length: 28 }, (_, at) => svg("rect", { x: at * 4, y: 0, width: 4.2, height: 9, fill: colour(at / 27) })));
  return h("span", {}, from, bar, to);
}

function largest(keyOf) {
  const sum = new Map();
  for (const [slot, cells] of state.bySlot) {
    const kind = state.kinds[state.faces.get(slot)?.kind];
    for (const { run, milli } of kind ? held(cells, kind) : []) {
      const key = state.workloads[run.workload] && keyOf(state.workloads[run.workload]);
      sum.set(key, (sum.get(key) ?? 0) + milli);
    }
  }
  return [...sum].sort((a, b) => b[1] - a[1]);
}

function names(keyOf) {
  const all = largest(keyOf);
  const shown = all.slice(0, MOST).map(([key, milli]) => {
    const name = options.mode === "namespace" ? key : key.slice(key.indexOf("/") + 1);
    return h("button", { type: "button", "aria-pressed": String(options.only === key), title: `${key}, ${devices(milli)} devices`, "data-key": key, onclick: () => {
      if (options.mode === "namespace") location.hash = options.only === key ? "#/" : path("namespace", key);
      else {
        options.only = options.only === key ? undefined : key;
        repaint();
        show();
      }
    } }, swatch(colourOf(key)), name);
  });
  return [...shown, all.length > MOST && h("span", {}, `and ${all.length - MOST} more`)];
}

export function show() {
  const active = document.activeElement?.dataset?.key;
  const parts = options.mode === "workload" ? names(fullName)
    : options.mode === "namespace" ? names((workload) => workload.namespace)
      : options.mode === "age" ? [scale("new", "three weeks", (share) => ageColour(60 * (10 ** (share * Math.log10(1 + 21 * 1440)) - 1)))]
        : [scale("all that is free is of use", "none of it is", wasteColour), h("span", {}, swatch(token("cell-dim")), "in use")];
  box.replaceChildren(...parts.filter(Boolean), h("span", { class: "end" }, swatch(token("cell-free")), "free",
    h("span", { class: "swatch" }, svg("svg", { width: 9, height: 9 }, svg("rect", { x: 0.5, y: 0.5, width: 8, height: 8, rx: 2, fill: token("map-bg"), stroke: token("bad") }), svg("line", { x1: 1.5, y1: 7.5, x2: 7.5, y2: 1.5, stroke: token("bad") }))), "failed",
    h("span", { class: "swatch" }, svg("svg", { width: 9, height: 9 }, svg("rect", { x: 0.5, y: 0.5, width: 8, height: 8, rx: 2, fill: token("cell-dim"), "fill-opacity": 0.5, stroke: token("muted"), "stroke-dasharray": "2 1.4" }))), "kept for a gang"));
  if (active !== undefined) box.querySelector(`[data-key="${CSS.escape(active)}"]`)?.focus({ preventScroll: true });
}

export function start() {
  segments(at("colours"), "colour", MODES, options.mode, (mode) => {
    options.mode = mode;
    if (mode !== "workload" && options.only?.includes("/")) options.only = undefined;
    repaint();
    show();
  });
  let asked = 0;
  on("layout nodes", () => {
    if (!asked) asked = setTimeout(() => {
      asked = 0;
      show();
    }, 900);
  });
  on("layout", show);
}
