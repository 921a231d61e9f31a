// The map: what is seen of it, and what pointers and keys do.

import { at, h, say } from "./dom.js";
import { state, on } from "./store.js";
import { describe, paint } from "./paint.js";
import { group, shape } from "./shape.js";
import { fullName, holders, sums } from "./cells.js";
import { devices, path } from "./format.js";
import { colourOf } from "./palette.js";

const canvas = at("map");
const context = canvas.getContext("2d");
const stage = at("canvas");
const tip = at("tip");
const still = matchMedia("(prefers-reduced-motion: reduce)");

const MAX_ZOOM = 60;

let map = { zones: [], racks: [], nodes: [], unit: 1 };
const view = { x: 0, y: 0, zoom: 1, size: { width: 1, height: 1, ratio: 1 } };
export const options = { mode: "workload", only: undefined, selected: undefined, hovered: undefined };
let asked = false;
let moved = () => {};
/** When the map was first painted, in milliseconds after the page began to load. */
let painted = 0;

/** Paints when the browser is ready to. */
export function repaint() {
  if (asked || canvas.hidden) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    paint(context, map, view, options);
    if (!painted && map.nodes.length) {
      painted = performance.now();
      performance.mark("fleet-painted");
    }
  });
}

function measure() {
  const { width, height } = stage.getBoundingClientRect();
  const ratio = Math.min(2, devicePixelRatio || 1);
  view.size = { width, height, ratio };
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
}

function layOut() {
  const faces = [...state.faces.values()];
  const { zoom, x, y, size: { width, height } } = view;
  const centre = map.nodes.length ? { x: (width / 2 - x) / zoom / (map.width || 1), y: (height / 2 - y) / zoom / (map.height || 1) } : null;
  measure();
  map = shape(group(faces), view.size.width, view.size.height);
  if (zoom > 1 && centre) {
    view.x = view.size.width / 2 - centre.x * map.width * zoom;
    view.y = view.size.height / 2 - centre.y * map.height * zoom;
    clamp();
  } else {
    Object.assign(view, { x: 0, y: 0, zoom: 1 });
  }
  repaint();
  moved();
}

function clamp() {
  const { width, height } = view.size;
  const room = (full, screen, value) => (full <= screen ? Math.min(Math.max(0, value), screen - full) : Math.min(40, Math.max(screen - full - 40, value)));
  view.x = room(map.width * view.zoom, width, view.x);
  view.y = room(map.height * view.zoom, height, view.y);
}

function zoomTo(zoom, x, y) {
  const to = Math.min(MAX_ZOOM, Math.max(1, zoom));
  view.x = x - ((x - view.x) / view.zoom) * to;
  view.y = y - ((y - view.y) / view.zoom) * to;
  view.zoom = to;
  if (to === 1) [view.x, view.y] = [0, 0];
  clamp();
  repaint();
  moved();
}

// --- going somewhere

let journey = 0;

function glide(to) {
  cancelAnimationFrame(journey);
  if (still.matches) {
    Object.assign(view, to);
    clamp();
    repaint();
    return moved();
  }
  const from = { x: view.x, y: view.y, zoom: view.zoom };
  const began = performance.now();
  const step = (now) => {
    const part = Math.min(1, (now - began) / 320);
    const eased = 1 - (1 - part) ** 3;
    const zoom = from.zoom * (to.zoom / from.zoom) ** eased;
    // What is under way stays under way: positions follow the zoom.
    const along = Math.abs(to.zoom - from.zoom) < 1e-6 ? eased : (zoom - from.zoom) / (to.zoom - from.zoom);
    Object.assign(view, { zoom, x: from.x + (to.x - from.x) * along, y: from.y + (to.y - from.y) * along });
    repaint();
    if (part < 1) journey = requestAnimationFrame(step);
    else {
      clamp();
      repaint();
    }
    moved();
  };
  journey = requestAnimationFrame(step);
}

/** Shows a rectangle of the map, with some of what is around it. */
function show(box, share = 0.86) {
  const { width, height } = view.size;
  const zoom = Math.min(MAX_ZOOM, Math.max(1, Math.min((width * share) / box.width, (height * share) / box.height)));
  glide({ zoom, x: width / 2 - (box.x + box.width / 2) * zoom, y: height / 2 - (box.y + box.height / 2) * zoom });
}

export const showAll = () => glide({ zoom: 1, x: 0, y: 0 });
export const showZone = (name) => {
  const zone = map.zones.find((zone) => zone.name === name);
  if (zone) show(zone, 0.98);
};
export const showRack = (zone, name) => {
  const box = map.racks.find((box) => box.rack.zone === zone && box.rack.name === name);
  if (box) show(box);
};
export const showNode = (name) => {
  const node = map.nodes.find((node) => node.face.name === name);
  if (node) show(node, 0.6);
};

/** Marks a node, and brings it into sight where it is too small or out of it. */
export function select(name) {
  options.selected = name === undefined ? undefined : state.byName.get(name);
  const node = map.nodes.find((node) => node.face.slot === options.selected);
  if (node) {
    const x = node.x * view.zoom + view.x;
    const y = node.y * view.zoom + view.y;
    const seen = x > 0 && y > 0 && x + node.width * view.zoom < view.size.width && y + node.height * view.zoom < view.size.height;
    if (!seen || node.width * view.zoom < 30) show(node.box);
  }
  repaint();
}

/** What the map shows: the zone, rack and node that fill most of it. */
export function where() {
  if (view.zoom < 1.15) return {};
  const { width, height } = view.size;
  const [x, y] = [(width / 2 - view.x) / view.zoom, (height / 2 - view.y) / view.zoom];
  const inside = (box) => x >= box.x && y >= box.y && x <= box.x + box.width && y <= box.y + box.height;
  const fills = (box) => (box.width * view.zoom > width * 0.4 || box.height * view.zoom > height * 0.5) && inside(box);
  const zone = map.zones.find(inside);
  const box = map.racks.find((box) => fills(box));
  const node = map.nodes.find((node) => fills(node));
  return { zone: zone?.name, rack: box?.rack.name, clique: box?.rack.clique, node: node?.face.name };
}

export const onMove = (listener) => { moved = listener; };

// --- pointers

function nodeAt(event) {
  const area = canvas.getBoundingClientRect();
  const x = (event.clientX - area.left - view.x) / view.zoom;
  const y = (event.clientY - area.top - view.y) / view.zoom;
  const inside = (box) => x >= box.x && y >= box.y && x <= box.x + box.width && y <= box.y + box.height;
  const box = map.racks.find(inside);
  return { box, node: box && map.nodes.find((node) => node.box === box && inside(node)) };
}

function hover(event) {
  const { node } = nodeAt(event);
  const slot = node?.face.slot;
  if (slot !== options.hovered) {
    options.hovered = slot;
    repaint();
  }
  if (!node) return hideTip();
  const cells = state.bySlot.get(slot);
  const kind = state.kinds[node.face.kind];
  if (!cells || !kind) return hideTip();
  const sum = sums(cells, kind);
  const list = holders(cells, kind).slice(0, 5);
  tip.replaceChildren(
    h("b", {}, node.face.name),
    h("div", {}, [kind.product, describe(node.face, cells, kind, sum).join(", ")].filter(Boolean).join(" · ")),
    list.length > 0 && h("ul", {}, list.map(({ workload, milli }) => h("li", {},
      h("span", { class: "swatch", style: { background: colourOf(options.mode === "namespace" ? workload.namespace : fullName(workload)) } }),
      `${workload.name}`, h("span", { class: "num" }, devices(milli))))) || "");
  tip.hidden = false;
  const area = stage.getBoundingClientRect();
  const [x, y] = [event.clientX - area.left, event.clientY - area.top];
  tip.style.left = `${Math.min(x + 14, area.width - tip.offsetWidth - 8)}px`;
  tip.style.top = `${y + 18 + tip.offsetHeight > area.height ? y - tip.offsetHeight - 10 : y + 18}px`;
}

function hideTip() {
  tip.hidden = true;
}

function pointers() {
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    cancelAnimationFrame(journey);
    drag = { x: event.clientX, y: event.clientY, viewX: view.x, viewY: view.y, far: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return hover(event);
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    if (!drag.far && Math.hypot(dx, dy) < 4) return;
    drag.far = true;
    hideTip();
    canvas.classList.add("grabbing");
    [view.x, view.y] = [drag.viewX + dx, drag.viewY + dy];
    clamp();
    repaint();
    moved();
  });
  canvas.addEventListener("pointerup", (event) => {
    canvas.classList.remove("grabbing");
    const click = drag && !drag.far;
    drag = null;
    if (!click) return;
    const { node, box } = nodeAt(event);
    if (node && node.width * view.zoom >= 9) location.hash = path("node", node.face.name);
    else if (box) show(box);
  });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("pointerleave", () => {
    hideTip();
    options.hovered = undefined;
    repaint();
  });
  canvas.addEventListener("dblclick", (event) => {
    const { node, box } = nodeAt(event);
    if (node && box.width * view.zoom > view.size.width * 0.4) show(node, 0.6);
    else if (box) show(box);
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    cancelAnimationFrame(journey);
    const area = canvas.getBoundingClientRect();
    const lines = event.deltaMode === 1 ? 16 : 1;
    zoomTo(view.zoom * Math.exp(-event.deltaY * lines * 0.0022), event.clientX - area.left, event.clientY - area.top);
  }, { passive: false });
}

// --- keys

/** The nearest node in a direction. */
function neighbour(from, dx, dy) {
  const middle = (box) => [box.x + box.width / 2, box.y + box.height / 2];
  const [x, y] = middle(from);
  let best, least = Infinity;
  for (const node of map.nodes) {
    const [nx, ny] = middle(node);
    const along = (nx - x) * dx + (ny - y) * dy;
    const aside = Math.abs((nx - x) * dy) + Math.abs((ny - y) * dx);
    const far = along + 3 * aside;
    if (node !== from && along > from.height / 2 && far < least) [best, least] = [node, far];
  }
  return best;
}

function keys() {
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const centre = [view.size.width / 2, view.size.height / 2];
    const way = ways[event.key];
    if (way) {
      const from = map.nodes.find((node) => node.face.slot === options.selected);
      const to = from ? neighbour(from, ...way) : map.nodes[0];
      if (!to) return;
      select(to.face.name);
      const cells = state.bySlot.get(to.face.slot);
      const kind = state.kinds[to.face.kind];
      if (cells && kind) say(`${to.face.name}: ${describe(to.face, cells, kind, sums(cells, kind)).join(", ")}`);
    } else if (event.key === "Enter" && options.selected !== undefined) {
      location.hash = path("node", state.faces.get(options.selected).name);
    } else if (event.key === "+" || event.key === "=") zoomTo(view.zoom * 1.5, ...centre);
    else if (event.key === "-") zoomTo(view.zoom / 1.5, ...centre);
    else if (event.key === "0") showAll();
    else return;
    event.preventDefault();
  });
}

export function start() {
  pointers();
  keys();
  at("zoom-in").addEventListener("click", () => zoomTo(view.zoom * 1.8, view.size.width / 2, view.size.height / 2));
  at("zoom-out").addEventListener("click", () => zoomTo(view.zoom / 1.8, view.size.width / 2, view.size.height / 2));
  at("zoom-fit").addEventListener("click", showAll);
  on("layout", layOut);
  on("nodes", repaint);
  new ResizeObserver(() => layOut()).observe(stage);
}
