// What could start, who waits, and what was decided.

import { h, render } from "./dom.js";
import { on, state } from "./store.js";
import { ago, asks, count, many, path, short, since, timeOfDay } from "./format.js";

const part = (title, note, ...content) => h("section", { class: "part" },
  h("header", {}, h("h2", {}, title), note && h("span", { class: "note" }, note)), content);

// Gangs that are listed one by one.
const SHOWN = 12;

const VERDICTS = { bound: ["good", "bound"], noPlace: ["wait", "no place"], refused: ["bad", "refused"] };
const STAGES = { gathering: ["", "gathering"], waiting: ["wait", "waits"], clearing: ["wait", "others make way"], planned: ["good", "planned"] };

const col = (text, title) => h("th", { scope: "col", title }, text);

function sets() {
  const { sizes, sets } = state.room;
  const cell = (number) => (number === null
    ? h("td", { class: "none", "aria-label": "no machine links so many" }, "–")
    : h("td", { class: number === 0 ? "zero" : "" }, count(number)));
  return part("Could start now", "tensor-parallel sets by size",
    h("table", { class: "tight" },
      h("thead", {}, h("tr", {}, col("Device"), col("Free"), sizes.map((size) => h("th", { scope: "col", "aria-label": `sets of ${size}` }, `×${size}`)))),
      h("tbody", {}, sets.map((row) => h("tr", {},
        h("td", { class: "name", title: `${row.product}: ${count(row.free)} of ${count(row.devices)} free` }, row.product), h("td", { class: row.free ? "" : "zero" }, count(row.free)), row.sets.map(cell))))));
}

function slices() {
  const { parts } = state.room;
  if (parts.length === 0) return "";
  return part("Slices and replicas", "",
    h("table", { class: "tight" },
      h("thead", {}, h("tr", {}, col("Sort"), col("Free"), col("Of"))),
      h("tbody", {}, parts.map((row) => h("tr", {},
        h("td", { class: "name", title: `${row.unit} of ${row.product}, asked for as ${row.resource}` }, row.unit.replace(/^MIG slices /, "").replace(/ of GPUs$/, ""), h("small", {}, `${row.product} · ${short(row.resource)}`)),
        h("td", { class: row.free ? "" : "zero" }, count(row.free)), h("td", {}, count(row.cells)))))));
}

function gang(line) {
  const [tone, word] = STAGES[line.stage] ?? ["", line.stage];
  return h("li", {}, h("a", { class: "row", href: path("gang", line.namespace, line.name), "data-key": `gang ${line.namespace}/${line.name}` },
    h("div", { class: "line" }, h("span", { class: "name" }, line.name), h("span", { class: `chip ${tone}` }, word),
      h("span", { class: "when", title: "since it was made" }, since(line.createdS))),
    line.why && h("p", {}, line.why),
    h("p", { class: "note" }, `${line.namespace} · ${many(line.members, "member")}, ${asks(line.asks)}${line.priority ? ` · priority ${line.priority}` : ""}`)));
}

function gangs() {
  const { underway, notShown, running } = state.gangs;
  return part("Gangs on their way", `${count(running)} running`,
    underway.length === 0 ? h("p", { class: "empty" }, "None waits.") : h("ul", {}, underway.slice(0, SHOWN).map(gang)),
    underway.length + notShown > SHOWN && h("p", { class: "more" }, `and ${count(underway.length + notShown - SHOWN)} more`));
}

const CLAIM_STAGES = { waiting: ["wait", "waits"], promised: ["good", "being given"], leaving: ["", "being deleted"] };

function claim(line) {
  const [tone, word] = CLAIM_STAGES[line.stage] ?? ["", line.stage];
  return h("li", {}, h("a", { class: "row", href: path("claim", line.namespace, line.name), "data-key": `claim ${line.namespace}/${line.name}` },
    h("div", { class: "line" }, h("span", { class: "name" }, line.name), h("span", { class: `chip ${tone}` }, word),
      h("span", { class: "when", title: "since its pods were made" }, since(line.createdS))),
    line.why && h("p", {}, line.why),
    h("p", { class: "note" }, `${line.namespace} · ${line.asks}`)));
}

// Nothing is said of claims where there are none, or testudo does not look at them.
function claims() {
  const { allocated, open, notShown } = state.claims;
  if (allocated + open.length === 0) return "";
  return part("Claims without devices", `${count(allocated)} have theirs`,
    open.length === 0 ? h("p", { class: "empty" }, "None waits.") : h("ul", {}, open.slice(0, SHOWN).map(claim)),
    open.length + notShown > SHOWN && h("p", { class: "more" }, `and ${count(open.length + notShown - SHOWN)} more`));
}

/** A decision as a line. */
export function decision(line, seen) {
  const [tone, word] = VERDICTS[line.verdict] ?? ["", line.verdict];
  const scores = line.places.length > 1 ? line.places.slice(0, 3).map(([node, score]) => `${node} ${score}`).join(", ") : "";
  const refusals = line.refusals.slice(0, 2).map(([text, nodes]) => `${many(nodes, "node")}: ${text}`);
  const why = line.verdict === "bound"
    ? [line.why, line.fitting > 1 && `${count(line.fitting)} of ${count(line.offered)} fit`, line.gang && `gang ${line.gang}`].filter(Boolean).join(" · ")
    : line.why ?? refusals.join(" · ");
  return h("li", {}, h("a", { class: seen && line.number > seen ? "row new" : "row", href: path("pod", line.namespace, line.pod), "data-key": `decision ${line.number}` },
    h("div", { class: "line" }, h("span", { class: "name" }, line.pod), h("span", { class: `chip ${tone}` }, word),
      h("span", { class: "when", title: timeOfDay(line.atMs) }, ago((Date.now() - line.atMs) / 1000))),
    line.node && h("p", {}, `on ${line.node}`),
    why && h("p", { class: "note" }, why),
    scores && h("p", { class: "note", title: "scores, 10 is best" }, `scores: ${scores}`)));
}

let seen = 0;

function decisions() {
  const newest = [...state.decisions].reverse().slice(0, 30);
  const before = seen;
  seen = newest[0]?.number ?? seen;
  return part("Recent decisions", "",
    newest.length === 0 ? h("p", { class: "empty" }, "None since testudo started.") : h("ul", {}, newest.map((line) => decision(line, before))));
}

const makers = { gangs, claims, sets, decisions, slices };
const sections = new Map();

/** Shows the overview in a container, and keeps it up. */
export function overview(container) {
  for (const name of Object.keys(makers)) sections.set(name, h("div", {}));
  container.replaceChildren(h("h1", { class: "sr" }, "Overview"), ...sections.values());
  for (const name of sections.keys()) renew(name);
}

function renew(name) {
  const section = sections.get(name);
  if (section?.isConnected) render(section, makers[name]());
}

export function start() {
  on("room", () => ["sets", "slices"].forEach(renew));
  on("gangs", () => renew("gangs"));
  on("claims", () => renew("claims"));
  on("decisions", () => renew("decisions"));
  // Ages grow though nothing happens.
  setInterval(() => { if (!document.hidden) ["gangs", "claims", "decisions"].forEach(renew); }, 10_000);
}
