// Where everything stands on the map: zones below each other, racks side by side, nodes in rows.
//
// All nodes are tiles of one size, twice as wide as high. The size is the largest at which everything fits.

const TILE = { width: 2, height: 1 };
const GAP = 0.14; // between tiles, in tile heights
const PAD = 0.16; // inside a rack
const HEAD = 0.34; // above the tiles of a rack, for its name
const BETWEEN = 0.3; // between racks
const ZONE_HEAD = 26; // pixels
const MARGIN = 14; // pixels
const MAX_TILE = 170; // pixels of a tile's height

/** Zones with racks with nodes, by name. */
export function group(faces) {
  const zones = new Map();
  for (const face of faces) {
    if (!zones.has(face.zone)) zones.set(face.zone, new Map());
    const racks = zones.get(face.zone);
    const key = `${face.clique ? "c" : "n"}\n${face.rack}`;
    if (!racks.has(key)) racks.set(key, { name: face.rack, zone: face.zone, clique: face.clique, nodes: [] });
    racks.get(key).nodes.push(face);
  }
  const collator = new Intl.Collator("en", { numeric: true });
  const by = (get) => (a, b) => collator.compare(get(a), get(b));
  return [...zones].map(([name, racks]) => {
    const sorted = [...racks.values()];
    for (const rack of sorted) rack.nodes.sort(by((node) => node.name));
    // Racks of one make stand together, the large ones first.
    sorted.sort((a, b) => a.nodes[0].kind - b.nodes[0].kind || b.nodes.length - a.nodes.length || collator.compare(a.name, b.name));
    return { name, racks: sorted };
  }).sort(by((zone) => zone.name));
}

function sizeOf(rack, wide) {
  const nodes = rack.nodes.length;
  const columns = Math.max(1, Math.min(nodes, Math.round(Math.sqrt(nodes * wide))));
  const rows = Math.ceil(nodes / columns);
  return {
    columns, rows,
    width: columns * TILE.width + (columns - 1) * GAP + 2 * PAD,
    height: rows * TILE.height + (rows - 1) * GAP + PAD + HEAD,
  };
}

// Lays the racks of a zone in rows of this width (in tile heights); returns where each stands, and the height.
function flow(racks, width) {
  let [x, y, line] = [0, 0, 0];
  const placed = racks.map((size) => {
    if (x > 0 && x + size.width > width) [x, y, line] = [0, y + line + BETWEEN, 0];
    const at = { x, y };
    x += size.width + BETWEEN;
    line = Math.max(line, size.height);
    return at;
  });
  return { placed, height: y + line };
}

// Zones below each other over the whole width, or beside each other in columns as wide as they have nodes.
function columnsOf(zones, inner, beside) {
  if (!beside) return zones.map(() => ({ x: MARGIN, width: inner }));
  const room = inner - (zones.length - 1) * 2 * MARGIN;
  const all = zones.reduce((sum, zone) => sum + weight(zone), 0);
  let x = MARGIN;
  return zones.map((zone) => {
    const width = (room * weight(zone)) / all;
    const column = { x, width };
    x += width + 2 * MARGIN;
    return column;
  });
}

const weight = (zone) => zone.racks.reduce((sum, rack) => sum + rack.nodes.length + 1, 0);

// The largest tiles with which an arrangement fits.
function largest(sized, columns, height, beside) {
  const tall = (unit, at) => ZONE_HEAD + flow(sized[at], columns[at].width / unit).height * unit + 12;
  const total = (unit) => sized.reduce((sum, _, at) => (beside ? Math.max(sum, tall(unit, at)) : sum + tall(unit, at)), 0) + MARGIN;
  const fits = (unit) => total(unit) <= height
    && sized.every((sizes, at) => sizes.every((size) => size.width * unit <= columns[at].width));
  let [low, high] = [0.4, MAX_TILE];
  for (let step = 0; step < 22; step++) {
    const unit = (low + high) / 2;
    if (fits(unit)) low = unit; else high = unit;
  }
  return low;
}

/** The map for a canvas of this size: rectangles in pixels, before any zoom. */
export function shape(zones, width, height) {
  const inner = Math.max(50, width - 2 * MARGIN);
  let best = { unit: 0 };
  for (const beside of zones.length > 1 && zones.length < 7 ? [false, true] : [false]) {
    for (const wide of [0.5, 0.9, 2, 5]) {
      const sized = zones.map((zone) => zone.racks.map((rack) => sizeOf(rack, wide)));
      const columns = columnsOf(zones, inner, beside);
      const unit = largest(sized, columns, height, beside);
      // Zones below each other are easier to read: beside each other they have to be a good deal larger.
      if (unit > best.unit * (beside && !best.beside ? 1.3 : 1.02)) best = { unit, sized, columns, beside };
    }
  }
  const { unit, sized, columns, beside } = best;
  const result = { unit, zones: [], racks: [], nodes: [], width, height: 0 };
  let top = MARGIN / 2;
  zones.forEach((zone, at) => {
    const { x: left, width: wide } = columns[at];
    const { placed, height: tall } = flow(sized[at], wide / unit);
    const area = { name: zone.name, x: left, y: top, width: wide, height: ZONE_HEAD + tall * unit, nodes: 0, racks: zone.racks.length };
    const bottom = top + ZONE_HEAD + tall * unit + 12;
    top += ZONE_HEAD;
    zone.racks.forEach((rack, index) => {
      const size = sized[at][index];
      const x = left + placed[index].x * unit;
      const y = top + placed[index].y * unit;
      const box = { rack, zone: area, x, y, width: size.width * unit, height: size.height * unit, head: HEAD * unit };
      result.racks.push(box);
      rack.nodes.forEach((face, number) => {
        const column = number % size.columns;
        const row = Math.floor(number / size.columns);
        result.nodes.push({
          face, box,
          x: x + (PAD + column * (TILE.width + GAP)) * unit,
          y: y + (HEAD + row * (TILE.height + GAP)) * unit,
          width: TILE.width * unit,
          height: TILE.height * unit,
        });
      });
      area.nodes += rack.nodes.length;
    });
    result.zones.push(area);
    result.height = Math.max(result.height, bottom);
    top = beside ? MARGIN / 2 : bottom;
  });
  return result;
}

/** Rows and columns for so many cells in a space of this shape. */
export function grid(cells, width, height) {
  let best = { columns: cells, rows: 1, size: 0 };
  for (let rows = 1; rows <= cells; rows++) {
    const columns = Math.ceil(cells / rows);
    const size = Math.min(width / columns, (height / rows) * 1.35);
    // Of equals the one without holes.
    if (size > best.size * (columns * rows === cells ? 0.72 : 1.1)) best = { columns, rows, size };
    if (rows > 16) break;
  }
  return best;
}
