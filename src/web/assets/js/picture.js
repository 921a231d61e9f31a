// A node as a picture: its devices, how they are linked, its slices where they are, and who has what.

import { svg } from "./dom.js";
import { fillings, fullName, pieceCell, pieces, runColour } from "./cells.js";
import { state } from "./store.js";
import { token } from "./palette.js";

const WIDTH = 376;
const GAP = 10;

/** The picture of a node, with a sentence on what is known of positions. */
export function picture(kind, cells) {
  if (kind.gpus) return gpusPicture(kind, cells);
  if (kind.cut) return { picture: cutPicture(kind, cells), note: cutNote(kind) };
  const device = kind.pools.find((face) => face.parts > 1);
  return device && kind.pools.length === 1
    ? { picture: devicePicture(kind, fillings(cells.pools[0] ?? { failed: 0, runs: [] }, device)), note: deviceNote(kind, cells) }
    : { picture: poolPicture(kind, cells), note: "By counts: which device a pod got, the device plugin does not tell." };
}

// GPUs that claims have: whole ones with their links, cut ones with every partition where it lies.
function gpusPicture(kind, cells) {
  const gpus = pieces(kind, cells);
  const isCut = gpus.some((own) => own.length > 1 || own.some((piece) => piece.size < kind.gpus[0].width));
  if (!isCut) {
    const filled = gpus.map(([piece]) => pieceCell(piece));
    return { picture: devicePicture(kind, filled), note: `${linksNote(kind)} Which claim has which GPU is what the claims say.` };
  }
  const rows = gpus.map((own, at) => ({
    name: kind.gpus[at].name, width: kind.gpus[at].width,
    slices: own.map((piece) => ({ ...piece, cell: pieceCell(piece), label: piece.part ? `${piece.size} of ${kind.gpus[at].width}` : "" })),
  }));
  return { picture: slicedPicture(rows), note: "Partitions lie where their claims say. What is not cut is empty." };
}

function cutNote(kind) {
  const slices = kind.cut.only
    ? "The slices are where they are shown: no other arrangement has these."
    : "The slices of each GPU are as counted; they may also stand in another order.";
  return `${slices} Who has which of them is by counts: the device plugin does not tell.`;
}

function deviceNote(kind, cells) {
  const runs = cells.pools[0]?.runs ?? [];
  const known = runs.length > 0 && runs.every((run) => run.devices);
  const whole = runs.length === 1 && runs[0].parts === kind.pools[0].cells * kind.pools[0].parts;
  const where = known || whole || runs.length === 0 ? "" : " Which GPU a pod got is by counts: the device plugin does not tell.";
  return linksNote(kind) + where;
}

function linksNote(kind) {
  const links = {
    switch: "NVLink connects each with each.", pcie: "Connected by PCIe only.", unknown: "How they are connected is not known.",
  }[kind.links.type] ?? "Lines are direct links; doubled links are thicker.";
  return links + (kind.reachesOut ? " It reaches the other nodes of the NVLink domain." : "");
}

const root = (height, ...content) => svg("svg", {
  class: "node-picture", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": "The devices of the node and who holds them",
}, content);

function fill(run) {
  return run ? runColour(run, "workload", undefined, 0) : token("cell-free");
}

// One cell with its fillings from below.
function cell(filled, x, y, width, height, label) {
  const parts = [svg("rect", { x, y, width, height, rx: 4, fill: filled.failed ? "none" : token("cell-free"), stroke: filled.failed ? token("bad") : "none", "stroke-dasharray": filled.failed ? "3 3" : undefined })];
  let bottom = y + height;
  for (const { run, share } of filled.fills) {
    const tall = height * share;
    bottom -= tall;
    const workload = state.workloads[run.workload];
    parts.push(svg("rect", { x, y: bottom, width, height: tall, rx: share > 0.98 ? 4 : 0, fill: fill(run), "fill-opacity": run.planned ? 0.4 : 1, stroke: run.planned ? fill(run) : undefined, "stroke-dasharray": run.planned ? "4 3" : undefined },
      svg("title", {}, workload ? `${fullName(workload)}${run.planned ? ", kept for it" : ""}` : "")));
  }
  if (label !== undefined) parts.push(svg("text", { x: x + width / 2, y: y + height + 12, "text-anchor": "middle" }, filled.failed ? "failed" : label));
  return parts;
}

function devicePicture(kind, filled) {
  const columns = filled.length <= 4 ? filled.length : filled.length === 16 ? 4 : Math.ceil(filled.length / 2);
  const rows = Math.ceil(filled.length / columns);
  const width = Math.min(84, (WIDTH - (columns + 1) * GAP) / columns);
  const height = Math.min(52, width * 0.62);
  const step = height + 40;
  const left = (WIDTH - columns * width - (columns - 1) * GAP) / 2;
  const place = (at) => [left + (at % columns) * (width + GAP), 8 + Math.floor(at / columns) * step];
  const middle = (at) => [place(at)[0] + width / 2, place(at)[1] + height / 2];
  const stroke = token("line-strong");
  const lines = [];
  if (kind.links.type === "pairs") {
    for (const [a, b, links] of kind.links.pairs) {
      const [[x1, y1], [x2, y2]] = [middle(a), middle(b)];
      // Those that would run through others bow out.
      const far = Math.abs(x1 - x2) > width + GAP + 1 && y1 === y2;
      const bow = far ? (y1 < step ? -1 : 1) * (height / 2 + 6 + Math.abs(x1 - x2) * 0.07) : 0;
      lines.push(svg("path", { d: `M${x1} ${y1} Q${(x1 + x2) / 2} ${(y1 + y2) / 2 + bow} ${x2} ${y2}`, fill: "none", stroke: token("accent"), "stroke-opacity": 0.55, "stroke-width": links > 1 ? Math.min(4, 1 + links / 2) : 1.2 }));
    }
  }
  const base = 8 + rows * step;
  if (kind.links.type === "switch") {
    // One bar that all hang on.
    for (let at = 0; at < filled.length; at++) {
      const [x, y] = middle(at);
      const to = rows === 1 ? base - 8 : 8 + height + 20;
      lines.push(svg("path", { d: `M${x - width * 0.36} ${y} V${to}`, stroke, "stroke-width": 1.5, fill: "none" }));
    }
    const y = rows === 1 ? base - 8 : 8 + height + 20;
    lines.push(svg("rect", { x: left - 4, y: y - 1.5, width: WIDTH - 2 * left + 8, height: 3, rx: 1.5, fill: token("accent"), "fill-opacity": 0.75 }, svg("title", {}, "NVSwitch")));
    if (kind.reachesOut) lines.push(svg("path", { d: `M${WIDTH - left + 4} ${y} h${Math.max(6, left - 8)}`, stroke: token("accent"), "stroke-width": 2, "stroke-dasharray": "3 3" }));
  }
  return root(base + (rows === 1 ? 4 : -6), lines, filled.map((one, at) => {
    const [x, y] = place(at);
    return cell(one, x, y, width, height, String(at));
  }));
}

function cutPicture(kind, cells) {
  const { cut, devices } = kind;
  const next = kind.pools.map((face, at) => fillings(cells.pools[at] ?? { failed: 0, runs: [] }, face)[Symbol.iterator]());
  const nameOf = (pool) => (/(\d+g(?:\.\d+gb)?\S*)/.exec(kind.pools[pool].unit) ?? [])[1] ?? "";
  return slicedPicture(Array.from({ length: devices }, (_, gpu) => ({
    name: `GPU ${gpu}`, width: cut.width,
    slices: cut.slices.map(({ pool, start, size }) => ({ start, size, cell: next[pool].next().value, label: nameOf(pool) })),
  })));
}

// A row for each GPU, as wide as its memory.
function slicedPicture(gpus) {
  const [left, height, step] = [40, 20, 27];
  const rows = gpus.map(({ name, width: slices, slices: own }, at) => {
    const y = 6 + at * step;
    const slice = (WIDTH - left) / slices;
    const outline = svg("rect", { x: left, y, width: WIDTH - left - 1, height, rx: 3, fill: "none", stroke: token("line-strong"), "stroke-dasharray": "2 3" });
    const marks = own.filter(({ cell: one, label }) => one && (label || one.fills.length)).map(({ start, size, cell: one, label }) => {
      const [x, width] = [left + start * slice + 1, size * slice - 3];
      const text = label && width > 34 && svg("text", { x: x + 5, y: y + 13.5, class: "on-slice" }, width > 60 ? label : label.split(/[. ]/)[0]);
      if (text && one.fills.length) text.style.setProperty("fill", token("ink-on-cell"));
      return [cell(one, x, y, width, height), text];
    });
    return [svg("text", { x: 0, y: y + 14 }, name.replace(/^gpu-/, "GPU ")), outline, marks];
  });
  return root(6 + gpus.length * step, rows);
}

function poolPicture(kind, cells) {
  let y = 4;
  const parts = [];
  kind.pools.forEach((face, at) => {
    const filled = fillings(cells.pools[at] ?? { failed: 0, runs: [] }, face);
    parts.push(svg("text", { x: 0, y: y + 10 }, `${face.cells} ${face.unit}`));
    y += 16;
    const columns = Math.min(filled.length, 16);
    const width = (WIDTH + 3) / Math.max(columns, 8) - 3;
    filled.forEach((one, index) => parts.push(cell(one, (index % columns) * (width + 3), y + Math.floor(index / columns) * 19, width, 16)));
    y += Math.ceil(filled.length / columns) * 19 + 8;
  });
  return root(y, parts);
}
