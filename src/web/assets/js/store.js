// What the page knows: everything once, and then what changes.

import { keep } from "./history.js";

const API = "/api/v1alpha1";

/** What was heard last. */
export const state = {
  id: "",
  title: "",
  version: "",
  layout: -1,
  kinds: [],
  faces: new Map(), // slot -> {slot, name, kind, zone, rack, clique}
  bySlot: new Map(), // slot -> cells
  byName: new Map(), // node -> slot
  workloads: [],
  totals: {},
  room: { sizes: [], sets: [], parts: [] },
  gangs: { running: 0, waiting: 0, underway: [], notShown: 0 },
  claims: { allocated: 0, open: [], notShown: 0 },
  decisions: [],
  history: [],
};

const MAX_DECISIONS = 256;

const listeners = new Map();

/** Calls back when a part has changed: layout, nodes, totals, room, gangs, claims, decisions, history, connection. */
export function on(parts, listener) {
  for (const part of parts.split(" ")) {
    if (!listeners.has(part)) listeners.set(part, new Set());
    listeners.get(part).add(listener);
  }
}

function tell(parts) {
  const all = new Set();
  for (const part of parts) for (const listener of listeners.get(part) ?? []) all.add(listener);
  for (const listener of all) listener(parts);
}

// One node's cells, as the wire has them.
const cellsOf = ([slot, flags, free, usable, pools, parts = []]) => ({
  slot,
  cordoned: (flags & 1) !== 0,
  leaving: (flags & 2) !== 0,
  free,
  usable,
  pools: pools.map(([failed, runs]) => ({
    failed,
    runs: runs.map(([workload, parts, created, planned = 0, devices = 0]) => ({ workload, parts, created, planned, devices })),
  })),
  // Of devices that claims have it is known where they lie. A workload below 0 is nobody.
  parts: parts.map(([gpu, start, size, workload, created, planned]) => ({ gpu, start, size, workload, created, planned })),
});

function takeEverything(whole) {
  Object.assign(state, {
    id: whole.id, title: whole.title, version: whole.version, layout: whole.layout, kinds: whole.kinds,
    workloads: whole.workloads, totals: whole.totals, room: whole.room, gangs: whole.gangs, claims: whole.claims,
    decisions: whole.decisions, history: whole.history,
  });
  state.faces = new Map(whole.faces.map((face) => [face.slot, face]));
  state.byName = new Map(whole.faces.map((face) => [face.name, face.slot]));
  state.bySlot = new Map(whole.nodes.map((node) => [node[0], cellsOf(node)]));
  tell(["layout", "nodes", "totals", "room", "gangs", "claims", "decisions", "history"]);
}

function takeChange(change, id) {
  state.id = id;
  const parts = [];
  if (change.workloads) state.workloads.splice(change.workloadsFrom, Infinity, ...change.workloads);
  if (change.nodes) {
    for (const node of change.nodes) state.bySlot.set(node[0], cellsOf(node));
    parts.push("nodes");
  }
  for (const part of ["totals", "room", "gangs", "claims"]) {
    if (change[part]) {
      state[part] = change[part];
      parts.push(part);
    }
  }
  if (change.decisions) {
    state.decisions = [...state.decisions, ...change.decisions].slice(-MAX_DECISIONS);
    parts.push("decisions");
  }
  if (change.sample) {
    keep(state.history, change.sample);
    parts.push("history");
  }
  tell(parts);
  if (change.layout !== state.layout) reload();
}

/** Asks a question; the answer, or an error with the server's words. */
export async function ask(question, options) {
  let response;
  try {
    response = await fetch(API + question, options);
  } catch {
    throw new Error("testudo does not answer");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error ?? `testudo answered ${response.status}`);
  return answer;
}

// --- the connection

/** `connecting`, `live` or `lost`. */
export let connection = "connecting";
export let heard = 0;

let source = null;
let waiting = 0;
let attempt = 0;

function connect(to) {
  if (connection === to) return;
  connection = to;
  tell(["connection"]);
}

/** Asks for everything, and listens from there on. */
export async function load() {
  clearTimeout(waiting);
  waiting = 0;
  source?.close();
  source = null;
  try {
    takeEverything(await ask("/fleet"));
    attempt = 0;
  } catch {
    return later();
  }
  listen();
}

// Nodes that come and go in numbers do so one after the other: not everything is asked for each time.
function reload() {
  if (!waiting) waiting = setTimeout(load, 1000);
}

function later() {
  connect("lost");
  attempt += 1;
  waiting = setTimeout(load, Math.min(10_000, 500 * 2 ** Math.min(attempt, 5)));
}

function listen() {
  source = new EventSource(`${API}/events?since=${encodeURIComponent(state.id)}`);
  const own = source;
  own.addEventListener("open", () => connect("live"));
  own.addEventListener("change", (event) => {
    heard = Date.now();
    takeChange(JSON.parse(event.data), event.lastEventId);
  });
  // The server does not remember what we missed, or is another by now.
  own.addEventListener("reset", () => load());
  own.addEventListener("error", () => {
    connect("lost");
    // The browser tries again by itself, unless the answer was a refusal.
    if (own.readyState === EventSource.CLOSED && own === source) later();
  });
}
