// What the cells of a node are filled with: who is where, as far as that is known.

import { state } from "./store.js";
import { ageColour, colourOf, token, wasteColour } from "./palette.js";

/** The ways to colour. */
export const MODES = [["workload", "Workload"], ["namespace", "Namespace"], ["waste", "Fragmentation"], ["age", "Age"]];

export const fullName = (workload) => `${workload.namespace}/${workload.name}`;

/** The colour of what a pod holds; `only` dims all that is of another namespace or workload. */
export function runColour(run, mode, only, now) {
  const workload = state.workloads[run.workload];
  if (!workload) return token("cell-dim");
  if (only && only !== workload.namespace && only !== fullName(workload)) return token("cell-dim");
  if (mode === "workload") return colourOf(fullName(workload));
  if (mode === "namespace") return colourOf(workload.namespace);
  if (mode === "age") return run.created ? ageColour(now - run.created) : token("cell-dim");
  return token("cell-dim");
}

/** The colour of what is free: how much of it typical pods could not use, where that is asked for. */
export function freeColour(cells, mode) {
  if (mode !== "waste" || cells.free <= 0) return token("cell-free");
  return wasteColour(1 - cells.usable / cells.free);
}

/**
 * The cells of one pool, each with its fillings: `{fills: [{run, share}], failed}`.
 * Devices that runs name are filled where they say; the others in order from the first that is free.
 */
export function fillings(pool, face) {
  const cells = Array.from({ length: face.cells }, () => ({ fills: [], used: 0, failed: false }));
  const put = (cell, run, parts) => {
    cell.fills.push({ run, share: parts / face.parts });
    cell.used += parts;
  };
  for (const run of pool.runs.filter((run) => run.devices)) {
    const named = [...Array(32).keys()].filter((bit) => (run.devices >>> bit) & 1 && cells[bit]);
    for (const bit of named) put(cells[bit], run, run.parts / named.length);
  }
  let from = 0;
  for (const run of pool.runs.filter((run) => !run.devices)) {
    let rest = run.parts;
    while (rest > 0 && from < cells.length) {
      const cell = cells[from];
      const takes = Math.min(rest, face.parts - cell.used);
      if (takes > 0) put(cell, run, takes);
      rest -= takes;
      if (cell.used >= face.parts) from += 1;
    }
  }
  for (let failed = pool.failed, at = cells.length - 1; failed > 0 && at >= 0; at--) {
    if (cells[at].used === 0) {
      cells[at].failed = true;
      failed -= 1;
    }
  }
  return cells;
}

/** Everything that is held on a node, in the order of its pools: who holds it, and how many thousandths of devices that is. */
export function* held(cells, kind) {
  for (const [at, face] of kind.pools.entries()) {
    for (const run of cells.pools[at]?.runs ?? []) yield { run, milli: (run.parts * face.milli) / face.parts };
  }
  for (const part of cells.parts) {
    if (part.workload >= 0) yield { run: part, milli: (part.size * 1000) / kind.gpus[part.gpu].width };
  }
}

/** How many thousandths of devices a node has. */
export const capacity = (kind) =>
  kind.pools.reduce((sum, face) => sum + face.cells * face.milli, 0) + (kind.gpus?.length ?? 0) * 1000;

/**
 * The GPUs of a node as claims have them, each as pieces from its first memory slice to its last: `{start, size, part}`,
 * where a piece without a part is free and not cut.
 */
export function pieces(kind, cells) {
  return kind.gpus.map(({ width }, at) => {
    const own = cells.parts.filter((part) => part.gpu === at).sort((a, b) => a.start - b.start);
    const all = [];
    let from = 0;
    for (const part of own) {
      if (part.start > from) all.push({ start: from, size: part.start - from });
      all.push({ start: part.start, size: part.size, part });
      from = Math.max(from, part.start + part.size);
    }
    if (from < width) all.push({ start: from, size: width - from });
    return all;
  });
}

/** A piece as a cell with its fillings. */
export const pieceCell = ({ part }) => ({ failed: false, fills: part && part.workload >= 0 ? [{ run: part, share: 1 }] : [] });

/** Devices in use, planned and in all, of one node, in thousandths. */
export function sums(cells, kind) {
  let [used, planned] = [0, 0];
  for (const { run, milli } of held(cells, kind)) {
    used += milli;
    if (run.planned) planned += milli;
  }
  const failed = kind.pools.reduce((sum, face, at) => sum + (cells.pools[at]?.failed ?? 0) * face.milli, 0);
  return { used, total: capacity(kind), failed, planned };
}

/** The workloads of a node with what they hold, the largest first. */
export function holders(cells, kind) {
  const sum = new Map();
  for (const { run, milli } of held(cells, kind)) sum.set(run.workload, (sum.get(run.workload) ?? 0) + milli);
  return [...sum].sort((a, b) => b[1] - a[1]).map(([workload, milli]) => ({ workload: state.workloads[workload], milli }));
}
