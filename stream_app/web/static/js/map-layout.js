// Where a base stands on the map: newspaper columns, read downwards, one screenful (a band) below the other.

const HEAD = 20;
const BAND_GAP = 10;
const WIDE = { row: 18, label: 64, space: 22, least: 24, most: 34 };
const PHONE = { row: 28, label: 72, space: 12, least: 24, most: 60 }; // rows that a finger can hit

/** Fit as many columns of bases side by side as the width allows; on the phone one. */
export function place({ width, height, bases, venues, phone }) {
  const { row, label, space, least, most } = phone ? PHONE : WIDE;
  const panels = phone ? 1 : Math.max(1, Math.floor((width + space) / (label + least * venues + space)));
  const room = (width + space) / panels - space - label;
  const cell = Math.max(8, Math.min(most, Math.floor(room / Math.max(1, venues))));
  const rows = Math.max(8, Math.floor((height - HEAD) / row));
  const band = HEAD + rows * row + BAND_GAP;
  const bands = Math.max(1, Math.ceil(bases / (panels * rows)));
  const stride = Math.floor((width + space) / panels);
  const last = bases - (bands - 1) * panels * rows;
  const tall = (bands - 1) * band + HEAD + Math.min(rows, Math.max(1, last)) * row + BAND_GAP;
  return { cell, row, label, stride, panels, rows, band, bases, venues, width, height: tall };
}

/** The upper left corner of a cell, in the coordinates of the whole map. */
export function spot({ cell, row, label, stride, panels, rows, band }, index, venue) {
  const rest = index % (panels * rows);
  return {
    x: Math.floor(rest / rows) * stride + label + venue * cell,
    y: Math.floor(index / (panels * rows)) * band + HEAD + (rest % rows) * row,
  };
}

/** The cell {i: base, j: venue} under a point of the whole map, or null. */
export function cellAt({ cell, row, label, stride, panels, rows, band, bases, venues }, x, y) {
  const above = Math.floor(y / band);
  const line = Math.floor((y - above * band - HEAD) / row);
  const panel = Math.min(panels - 1, Math.floor(x / stride));
  const j = Math.floor((x - panel * stride - label) / cell);
  const i = above * panels * rows + panel * rows + line;
  return line < 0 || line >= rows || j < 0 || j >= venues || i < 0 || i >= bases ? null : { i, j };
}
