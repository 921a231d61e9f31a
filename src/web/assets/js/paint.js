// Paints the map: what there is room for. Small tiles are a fill level, larger ones have cells, still larger ones names.

import { capacity, fillings, freeColour, held, pieceCell, pieces, runColour } from "./cells.js";
import { grid } from "./shape.js";
import { state } from "./store.js";
import { devices, many } from "./format.js";
import { font, token } from "./palette.js";

/** Widths of a tile on the screen, in pixels, from which it shows more. */
const CELLS = 7;
const GAPS = 34;
const NAMES = 104;
const PODS = 300;

export function paint(context, map, view, options) {
  const { width, height, ratio } = view.size;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = token("map-bg");
  context.fillRect(0, 0, width, height);
  const now = Date.now() / 1000;
  const brush = { context, options, now, font: font() };
  const visible = (box) => {
    const x = box.x * view.zoom + view.x;
    const y = box.y * view.zoom + view.y;
    return x < width && y < height && x + box.width * view.zoom > 0 && y + box.height * view.zoom > 0;
  };
  for (const zone of map.zones) if (visible(zone)) paintZone(brush, zone, view);
  for (const box of map.racks) if (visible(box)) paintRack(brush, box, view);
  const tile = (map.nodes[0]?.width ?? 0) * view.zoom;
  const strokes = tile >= CELLS ? paintTile : paintLevel;
  for (const node of map.nodes) if (visible(node)) strokes(brush, node, view, tile);
  if (options.selected !== undefined) {
    const node = map.nodes.find((node) => node.face.slot === options.selected);
    if (node) frame(brush, node, view, token("accent"), 2);
  }
  if (options.hovered !== undefined && options.hovered !== options.selected) {
    const node = map.nodes.find((node) => node.face.slot === options.hovered);
    if (node) frame(brush, node, view, token("muted"), 1);
  }
}

function frame({ context }, node, view, colour, line) {
  context.strokeStyle = colour;
  context.lineWidth = line;
  const out = line / 2 + 1;
  context.beginPath();
  context.roundRect(
    node.x * view.zoom + view.x - out, node.y * view.zoom + view.y - out,
    node.width * view.zoom + 2 * out, node.height * view.zoom + 2 * out, 4);
  context.stroke();
}

function paintZone({ context, font }, zone, view) {
  const x = Math.max(zone.x * view.zoom + view.x, 14);
  const y = zone.y * view.zoom + view.y + Math.min(17 * view.zoom, 20);
  context.textBaseline = "alphabetic";
  context.font = `600 12px ${font}`;
  context.fillStyle = token("text");
  const name = zone.name || "no zone known";
  context.fillText(name, x, y);
  const wide = context.measureText(name).width;
  context.font = `400 12px ${font}`;
  context.fillStyle = token("faint");
  context.fillText(`${many(zone.nodes, "node")} in ${many(zone.racks, "rack")}`, x + wide + 9, y);
}

function paintRack({ context, font }, box, view) {
  const x = box.x * view.zoom + view.x;
  const y = box.y * view.zoom + view.y;
  const [width, height] = [box.width * view.zoom, box.height * view.zoom];
  if (width < 8) return;
  context.beginPath();
  context.roundRect(x, y, width, height, Math.min(7, height * 0.05 + 1));
  context.fillStyle = token("rack");
  context.fill();
  context.strokeStyle = token("rack-line");
  context.lineWidth = 1;
  context.stroke();
  const head = box.head * view.zoom;
  if (head < 11 || width < 60) return;
  context.textBaseline = "middle";
  context.font = `500 ${Math.min(12, head * 0.68)}px ${font}`;
  context.fillStyle = token("muted");
  const inside = Math.min(10, head * 0.5);
  let title = box.rack.name || "no rack known";
  // A clique is named by the uuid of its cluster: the end is what tells them apart.
  if (box.rack.clique) title = `NVLink domain ${box.rack.name.length > 20 ? `…${box.rack.name.slice(-8)}` : box.rack.name}`;
  context.fillText(cut(context, title, width - 2 * inside), x + inside, y + head / 2 + 0.5);
}

// A tile as one rectangle that is filled from the left.
function paintLevel({ context, options, now }, node, view) {
  const cells = state.bySlot.get(node.face.slot);
  const kind = state.kinds[node.face.kind];
  if (!cells || !kind) return;
  const [x, y] = [node.x * view.zoom + view.x, node.y * view.zoom + view.y];
  const [width, height] = [node.width * view.zoom, node.height * view.zoom];
  context.fillStyle = freeColour(cells, options.mode);
  context.fillRect(x, y, width, height);
  const total = capacity(kind) || 1;
  let from = x;
  for (const { run, milli } of held(cells, kind)) {
    const wide = (width * milli) / total;
    context.fillStyle = runColour(run, options.mode, options.only, now);
    context.fillRect(from, y, wide, height);
    from += wide;
  }
}

function paintTile(brush, node, view, tile) {
  const { context, options, font } = brush;
  const cells = state.bySlot.get(node.face.slot);
  const kind = state.kinds[node.face.kind];
  if (!cells || !kind) return;
  let [x, y] = [node.x * view.zoom + view.x, node.y * view.zoom + view.y];
  let [width, height] = [node.width * view.zoom, node.height * view.zoom];
  const closed = cells.cordoned || cells.leaving;
  if (tile >= GAPS) {
    context.beginPath();
    context.roundRect(x, y, width, height, Math.min(5, tile * 0.03));
    context.fillStyle = token("node");
    context.fill();
    const pad = Math.min(6, tile * 0.03);
    [x, y, width, height] = [x + pad, y + pad, width - 2 * pad, height - 2 * pad];
  }
  if (tile >= NAMES) {
    const line = Math.min(18, height * 0.24);
    context.textBaseline = "middle";
    context.font = `500 ${Math.min(11.5, line * 0.72)}px ${font}`;
    const state = cells.cordoned ? "cordoned" : cells.leaving ? "leaving" : "";
    const product = tile >= 190 ? kind.product ?? "" : "";
    const right = state || product;
    context.fillStyle = state ? token("warn") : token("faint");
    context.textAlign = "right";
    context.fillText(right, x + width - 1, y + line / 2);
    const taken = right ? context.measureText(right).width + 6 : 0;
    context.textAlign = "left";
    context.fillStyle = token("muted");
    context.fillText(cut(context, node.face.name, width - taken - 2), x + 1, y + line / 2);
    [y, height] = [y + line + 1, height - line - 1];
  }
  if (closed) context.globalAlpha = 0.5;
  if (kind.gpus) paintGpus(brush, kind, cells, { x, y, width, height, tile });
  else if (kind.cut) paintCut(brush, kind, cells, { x, y, width, height, tile });
  else paintPools(brush, kind, cells, { x, y, width, height, tile });
  context.globalAlpha = 1;
  if (closed && tile < NAMES && tile >= 14) {
    context.strokeStyle = token("warn");
    context.lineWidth = 1;
    context.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
  }
}

// Pools share the height by the devices that they are.
function paintPools(brush, kind, cells, area) {
  const total = kind.pools.reduce((sum, face) => sum + face.cells * face.milli, 0) || 1;
  let top = area.y;
  kind.pools.forEach((face, at) => {
    const height = (area.height * face.cells * face.milli) / total;
    const pool = cells.pools[at];
    if (pool) paintCells(brush, fillings(pool, face), cells, { ...area, y: top, height }, face.parts > 1);
    top += height;
  });
}

function paintCells(brush, filled, cells, area, isDevice) {
  const { columns, rows } = grid(filled.length, area.width, area.height);
  const gap = area.tile >= GAPS ? Math.min(3, Math.max(1, area.tile * 0.012)) : area.tile >= 14 ? 0.5 : 0;
  const width = (area.width + gap) / columns - gap;
  const height = (area.height + gap) / rows - gap;
  filled.forEach((cell, at) => {
    const x = area.x + (at % columns) * (width + gap);
    const y = area.y + Math.floor(at / columns) * (height + gap);
    paintCell(brush, cell, cells, { x, y, width, height, tile: area.tile }, isDevice ? at : undefined);
  });
}

// Each GPU as a row of memory slices, as far as counts tell.
function paintCut(brush, kind, cells, area) {
  const { cut, devices } = kind;
  const next = kind.pools.map((face, at) => fillings(cells.pools[at] ?? { failed: 0, runs: [] }, face)[Symbol.iterator]());
  const gpus = Array.from({ length: devices }, () => cut.slices.map(({ pool, start, size }) => ({ start, size, cell: next[pool].next().value })));
  paintSliced(brush, gpus.map((slices) => ({ width: cut.width, slices })), cells, area);
}

// Each GPU with what claims have of it, where it lies.
function paintGpus(brush, kind, cells, area) {
  const gpus = pieces(kind, cells).map((slices, at) => ({
    width: kind.gpus[at].width, slices: slices.map((piece) => ({ ...piece, cell: pieceCell(piece) })),
  }));
  paintSliced(brush, gpus, cells, area);
}

function paintSliced(brush, gpus, cells, area) {
  const isCut = gpus.some(({ slices }) => slices.length > 1);
  const { columns, rows } = grid(gpus.length, isCut ? area.width / 2.2 : area.width, area.height);
  const gap = area.tile >= GAPS ? Math.min(isCut ? 5 : 3, Math.max(1, area.tile * 0.02)) : 0.5;
  const width = (area.width + gap) / columns - gap;
  const height = (area.height + gap) / rows - gap;
  gpus.forEach((gpu, at) => {
    const x = area.x + (at % columns) * (width + gap);
    const y = area.y + Math.floor(at / columns) * (height + gap);
    const slice = width / gpu.width;
    const inner = area.tile < GAPS ? (area.tile >= 20 ? 0.3 : 0) : Math.min(1.5, slice * 0.16);
    for (const { start, size, cell } of gpu.slices) {
      const between = start + size < gpu.width ? inner : 0;
      if (cell) paintCell(brush, cell, cells, { x: x + start * slice, y, width: size * slice - between, height, tile: area.tile }, size === gpu.width ? at : undefined);
    }
  });
}

function paintCell({ context, options, now, font }, cell, cells, box, device) {
  const { x, y, width, height, tile } = box;
  const round = tile >= GAPS ? Math.min(3, width * 0.14, height * 0.14) : 0;
  const rect = (rx, ry, w, hgt, r) => {
    if (r < 0.6) return context.fillRect(rx, ry, w, hgt);
    context.beginPath();
    context.roundRect(rx, ry, w, hgt, r);
    context.fill();
  };
  context.fillStyle = cell.failed ? token("node") : freeColour(cells, options.mode);
  rect(x, y, width, height, round);
  if (cell.failed) {
    if (tile < 14) return;
    context.strokeStyle = token("bad");
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x + 2, y + height - 2);
    context.lineTo(x + width - 2, y + 2);
    context.stroke();
    context.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
    return;
  }
  let bottom = y + height;
  for (const { run, share } of cell.fills) {
    const tall = height * share;
    bottom -= tall;
    context.fillStyle = runColour(run, options.mode, options.only, now);
    if (run.planned) context.globalAlpha *= 0.45;
    rect(x, bottom, width, tall, cell.fills.length === 1 && share > 0.98 ? round : 0);
    if (run.planned) context.globalAlpha /= 0.45;
    if (run.planned && tile >= 24) {
      context.strokeStyle = runColour(run, options.mode, options.only, now);
      context.setLineDash([3, 2]);
      context.lineWidth = 1;
      context.strokeRect(x + 0.5, bottom + 0.5, width - 1, tall - 1);
      context.setLineDash([]);
    }
  }
  if (tile < PODS || width < 44 || height < 26) return;
  const first = cell.fills[0]?.run;
  const workload = first && state.workloads[first.workload];
  context.textBaseline = "top";
  context.font = `550 10.5px ${font}`;
  context.fillStyle = first && options.mode !== "age" ? token("ink-on-cell") : token("muted");
  if (options.mode === "age" && first) context.fillStyle = token("text");
  if (workload) context.fillText(cut(context, workload.name, width - 10), x + 5, y + 5);
  if (device !== undefined && height > 40) {
    context.textBaseline = "bottom";
    context.font = `400 10px ${font}`;
    context.globalAlpha *= 0.75;
    context.fillText(workload ? `GPU ${device}` : "free", x + 5, y + height - 4);
    context.globalAlpha /= 0.75;
  }
}

/** As much of a text as there is room for. */
function cut(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  let [low, high] = [0, text.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (context.measureText(`${text.slice(0, middle)}…`).width <= room) low = middle; else high = middle - 1;
  }
  return low > 0 ? `${text.slice(0, low)}…` : "";
}

/** What a tile is, in words. */
export function describe(face, cells, kind, sum) {
  const parts = [`${devices(sum.used)} of ${devices(sum.total)} devices in use`];
  if (sum.planned) parts.push(`${devices(sum.planned)} of them kept for a gang`);
  if (sum.failed) parts.push(`${devices(sum.failed)} failed`);
  if (cells.cordoned) parts.push("cordoned");
  if (cells.leaving) parts.push("about to be removed");
  return parts;
}
