// The fleet as a tree of rows: the same as the map, for who reads instead of looking.

import { at, h, render } from "./dom.js";
import { on, state } from "./store.js";
import { sums } from "./cells.js";
import { group } from "./shape.js";
import { devices, many, path, percent } from "./format.js";

const box = at("table");
const open = new Set();

function add(a, b) {
  return { used: a.used + b.used, total: a.total + b.total, failed: a.failed + b.failed };
}

const nothing = { used: 0, total: 0, failed: 0 };

function ofNode(face) {
  const cells = state.bySlot.get(face.slot);
  const kind = state.kinds[face.kind];
  return cells && kind ? sums(cells, kind) : nothing;
}

const columns = (sum) => [
  h("span", { class: "r" }, devices(sum.used)), h("span", { class: "r" }, devices(sum.total)), h("span", { class: "r" }, percent(sum.used, sum.total)),
  h("span", { class: "meter", "aria-hidden": "true" }, h("span", { class: "used", style: { width: `${sum.total ? (sum.used / sum.total) * 100 : 0}%` } }),
    h("span", { class: "bad", style: { width: `${sum.total ? (sum.failed / sum.total) * 100 : 0}%` } })),
];

// Rows inside are made when they are first opened: a fleet has thousands.
function branch(key, className, name, sum, inside) {
  const details = h("details", { class: className, open: open.has(key) },
    h("summary", { "data-key": key }, h("span", {}, name), columns(sum)));
  const grow = () => {
    if (details.children.length === 1) details.append(...inside());
  };
  if (open.has(key)) grow();
  details.addEventListener("toggle", () => {
    if (details.open) {
      open.add(key);
      grow();
    } else open.delete(key);
  });
  return details;
}

export function show() {
  if (box.hidden) return;
  const zones = group([...state.faces.values()]);
  const heads = ["", "Zone, rack, node", "In use", "Devices", "Share", ""];
  render(box, h("div", { class: "tree" },
    h("div", { class: "head", "aria-hidden": "true" }, heads.map((text, index) => h("span", { class: index > 1 ? "r" : "" }, text))),
    zones.map((zone) => {
      const racks = zone.racks.map((rack) => ({ rack, sum: rack.nodes.map(ofNode).reduce(add, nothing) }));
      return branch(`z ${zone.name}`, "zone", `${zone.name || "no zone known"}, ${many(zone.racks.length, "rack")}`, racks.map(({ sum }) => sum).reduce(add, nothing), () => racks.map(({ rack, sum }) =>
        branch(`r ${zone.name} ${rack.name} ${rack.clique}`, "rack", `${rack.clique ? "NVLink domain " : ""}${rack.name || "no rack known"}, ${many(rack.nodes.length, "node")}`, sum, () =>
          rack.nodes.map((face) => h("a", { class: "leaf", href: path("node", face.name), "data-key": `n ${face.name}` }, h("span", {}, face.name), columns(ofNode(face)))))));
    })));
}

export function start() {
  let asked = 0;
  on("layout nodes", () => {
    // Reading is disturbed by rows that are made anew twice a second.
    if (!asked) asked = setTimeout(() => {
      asked = 0;
      show();
    }, 2000);
  });
}
