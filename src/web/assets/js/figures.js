// The fleet in a line of figures.

import { at, h } from "./dom.js";
import { on, state } from "./store.js";
import { count, devices, many, percent } from "./format.js";

const figure = (name, value, note, more) => h("div", { class: "figure" },
  h("dt", {}, name), h("dd", {}, value, note && h("small", {}, note)), more);

function meter(...parts) {
  return h("div", { class: "meter", "aria-hidden": "true" },
    parts.map(([kind, share]) => h("span", { class: kind, style: { width: `${Math.max(0, share) * 100}%` } })));
}

function show() {
  const { nodes, otherNodes, totalMilli: total, usedMilli: used, failedMilli: failed, freeMilli: free, usableMilli: usable } = state.totals;
  const wasted = free - usable;
  const racks = new Set([...state.faces.values()].map((face) => `${face.zone}\n${face.rack}`)).size;
  const zones = new Set([...state.faces.values()].map((face) => face.zone)).size;
  const { running, waiting, underway } = state.gangs;
  at("figures").replaceChildren(h("dl", { class: "figures-list", style: { display: "contents" } },
    figure("Devices in use", percent(used, total), `${devices(used)} of ${devices(total)}${failed ? `, ${devices(failed)} failed` : ""}`,
      meter(["used", used / total], ["bad", failed / total])),
    figure("Free", devices(free), "on nodes that take pods"),
    figure("Fragmentation", percent(wasted, free), "of the free, typical pods cannot use"),
    figure("Gangs running", count(running), underway.length > waiting ? `${many(underway.length - waiting, "more")} on the way` : ""),
    figure("Gangs waiting", count(waiting), waiting ? "for places" : ""),
    figure("Nodes", count(nodes), `${many(racks, "rack")}, ${many(zones, "zone")}${otherNodes ? `, ${count(otherNodes)} without devices` : ""}`)));
}

export const start = () => on("totals gangs layout", show);
