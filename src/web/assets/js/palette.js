// Colours: the theme's own, and one for everything that has a name.

const root = document.documentElement;
const probe = document.createElement("i");
probe.hidden = true;
root.append(probe);
let known = {};

/** A colour of the theme by the name of its variable, as canvases take it. */
export function token(name) {
  if (!known[name]) {
    // The variable itself says both of its colours; what has it as its colour says which one it is.
    probe.style.setProperty("color", `var(--${name})`);
    known[name] = getComputedStyle(probe).color;
  }
  return known[name];
}

/** The typeface. */
export const font = () => (known.font ??= getComputedStyle(root).getPropertyValue("--font").trim());

/** The theme has changed: everything is looked up again. */
export function forget() {
  known = {};
  named.clear();
}

export const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark")) === "dark";

// Far enough apart to be told from each other, of one lightness, without the reds that mean harm.
// Each with how much lighter it has to be to look as bright: dark yellow is olive.
const HUES = [[255, 0], [165, 0], [300, 0], [70, 0.05], [215, 0.02], [345, 0.01], [142, 0.03], [280, -0.03], [95, 0.1], [185, 0.01], [325, 0], [45, 0.01]];

const named = new Map();

function hash(text) {
  let hash = 2166136261;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 16777619);
  return (hash ^ (hash >>> 15)) >>> 0;
}

/** The colour of a name: the same in every browser, and after every restart. */
export function colourOf(name) {
  let colour = named.get(name);
  if (!colour) {
    const number = hash(name);
    const [hue, lighter] = HUES[number % HUES.length];
    const [light, chroma] = isDark() ? [0.74, 0.115] : [0.7, 0.125];
    const [shade, pale] = [[0, 1], [-0.08, 1.05], [0.07, 0.7]][Math.floor(number / HUES.length) % 3];
    colour = `oklch(${light + lighter + shade} ${chroma * pale} ${hue})`;
    named.set(name, colour);
  }
  return colour;
}

/** From 0, all of it is of use, to 1, none is. */
export function wasteColour(share) {
  const hue = 155 - 120 * Math.min(1, share);
  return `oklch(${isDark() ? 0.72 : 0.68} ${0.1 + 0.06 * share} ${hue})`;
}

/** From new, bright, to three weeks old, dim. */
export function ageColour(seconds) {
  const age = Math.min(1, Math.log10(1 + Math.max(0, seconds) / 60) / Math.log10(1 + 21 * 1440));
  return isDark() ? `oklch(${0.82 - 0.45 * age} ${0.095 - 0.02 * age} ${195 + 75 * age})`
    : `oklch(${0.86 - 0.46 * age} ${0.07 + 0.08 * age} ${195 + 75 * age})`;
}
