// The time line, drawn by uPlot.

import uPlot from "../vendor/uplot.js";
import { at, h, segments, svg } from "./dom.js";
import { on, state } from "./store.js";
import { font, token } from "./palette.js";

const box = at("plot");
let plot = null;
let range = 900;

const SERIES = [
  { label: "in use", colour: "accent", of: (sample) => sample[1] / 10, scale: "%", fill: true },
  { label: "of the free unusable", colour: "warn", of: (sample) => sample[2] / 10, scale: "%" },
  { label: "waiting gangs", colour: "bad", of: (sample) => sample[3], scale: "n", steps: true },
];

const hourOf = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const exactHourOf = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

function data() {
  const last = state.history.at(-1)?.[0] ?? 0;
  const shown = state.history.filter((sample) => sample[0] >= last - range);
  return [shown.map((sample) => sample[0]), ...SERIES.map((series) => shown.map(series.of))];
}

function options() {
  const axis = { stroke: token("faint"), font: `11px ${font()}`, grid: { stroke: token("line"), width: 1 }, ticks: { show: false } };
  const line = (series) => ({
    label: series.label,
    scale: series.scale,
    stroke: token(series.colour),
    width: 1.5,
    fill: series.fill ? `color-mix(in srgb, ${token(series.colour)} 13%, transparent)` : undefined,
    paths: series.steps ? uPlot.paths.stepped({ align: 1 }) : undefined,
    points: { show: false },
  });
  return {
    width: box.clientWidth,
    height: box.clientHeight,
    padding: [8, 4, 0, 0],
    cursor: { points: { size: 6 }, drag: { x: false, y: false } },
    legend: { show: false },
    scales: { "%": { range: [0, 100] }, n: { range: (_, __, most) => [0, Math.max(4, most * 1.15)] } },
    axes: [
      { ...axis, size: 24, gap: 4, space: 80, incrs: [1, 5, 10, 30, 60, 300, 900, 3600, 10800, 21600], values: (_, marks, __, ___, step) => marks.map((mark) => (step < 60 ? exactHourOf : hourOf).format(new Date(mark * 1000))) },
      { ...axis, scale: "%", size: 44, gap: 6, values: (_, marks) => marks.map((mark) => `${mark} %`), splits: () => [0, 25, 50, 75, 100] },
      { ...axis, scale: "n", side: 1, size: 34, gap: 6, grid: { show: false }, values: (_, marks) => marks.map((mark) => (Number.isInteger(mark) ? mark : "")) },
    ],
    series: [{}, ...SERIES.map(line)],
    hooks: { setCursor: [(plot) => keys(plot.cursor.idx)] },
  };
}

// What the lines are, with the figures under the pointer, or the last ones.
function keys(index) {
  const values = data().slice(1).map((series) => series[index ?? series.length - 1]);
  const dash = (series) => svg("svg", { width: 14, height: 8, "aria-hidden": "true" },
    svg("line", { x1: 0, x2: 14, y1: 4, y2: 4, stroke: token(series.colour), "stroke-width": 2 }));
  at("timeline-keys").replaceChildren(...SERIES.map((series, number) => h("span", {},
    dash(series), series.label,
    h("b", { class: "num" }, values[number] === undefined ? "" : series.scale === "%" ? `${values[number].toFixed(1)} %` : values[number]))));
}

/** Draws anew: the theme has changed. */
export function redraw() {
  plot?.destroy();
  plot = new uPlot(options(), data(), box);
  keys();
}

export function start() {
  segments(at("ranges"), "range", [["900", "15 min"], ["86400", "24 h"]], "900", (value) => {
    range = Number(value);
    plot?.setData(data());
  });
  on("history", () => {
    if (!plot) return redraw();
    plot.setData(data());
    if (plot.cursor.idx === null || plot.cursor.left < 0) keys();
  });
  new ResizeObserver(() => plot?.setSize({ width: box.clientWidth, height: box.clientHeight })).observe(box);
}
