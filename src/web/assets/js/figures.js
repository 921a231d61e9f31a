// The fleet in a line of figures.

import { at, h } from "./dom.js";
import { on, state } from "./store.js";
import { count, devices, many, percent } from "./format.js";

const figure = (name, value, note, more) => h("div", { class: "figure" },
  h("dt", {}, name), h("dd", {}, value, more), h("dd", { class: "more-of-it" }, note || "\u00a0"));

function meter(...parts) {
  return h("div", { class: "meter", "aria-hidden": "true" },
    parts.map(([kind, share]) => h("span", { class: kind, style: { width: `${Math.max(0, share) * 100}%` } })));
}

const costs = ({ idle, stranded, held, closed }) => idle + stranded + held + closed;

// What costs without working, the dearest first.
function costNote(cost) {
  const parts = ["idle", "stranded", "held", "closed"].map((name) => [name, Math.round(cost[name])]).filter(([, amount]) => amount > 0);
  const words = parts.sort(([, a], [, b]) => b - a).slice(0, 2).map(([name, amount]) => `${count(amount)} ${name}`);
  if (cost.unpriced) words.push(`no price for ${many(cost.unpriced.length, "pool")}`);
  return words.length > 0 ? `an hour: ${words.join(", ")}` : "all that is paid for works";
}

function show() {
  const { nodes, totalMilli: total, usedMilli: used, failedMilli: failed, freeMilli: free, usableMilli: usable, cost } = state.totals;
  const wasted = free - usable;
  const racks = new Set([...state.faces.values()].map((face) => `${face.zone}\n${face.rack}`)).size;
  const zones = new Set([...state.faces.values()].map((face) => face.zone)).size;
  const { running, waiting, underway } = state.gangs;
  at("figures").replaceChildren(h("dl", { class: "figures-list", style: { display: "contents" } },
    figure("Devices in use", percent(used, total), `${devices(used)} of ${devices(total)}${failed ? `, ${devices(failed)} failed` : ""}`,
      meter(["used", used / total], ["bad", failed / total])),
    figure("Free devices", devices(free), "on nodes that take pods"),
    figure("Fragmentation", percent(wasted, free), "of what is free is of no use"),
    figure("Paid for, not at work", `${count(Math.round(costs(cost)))} ${cost.unit === "GPU-hours" ? "GPU h" : cost.unit}`, costNote(cost)),
    figure("Gangs waiting", count(waiting), `${count(running)} run${underway.length > waiting ? `, ${count(underway.length - waiting)} on the way` : ""}`),
    figure("Nodes with devices", count(nodes), `${many(racks, "rack")}, ${many(zones, "zone")}`)));
}

export const start = () => on("totals gangs layout", show);
