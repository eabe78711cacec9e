// Painting the map on a canvas as large as what is in sight: all of it after a scroll, single cells as they change.

import { signed } from "./format.js";
import { spot } from "./map-layout.js";
import { toneAt, toneIndex } from "./scale.js";

const EMPTY = -1; // no contract
const UNRATED = -2; // a contract without a value
const COLOURS = ["--text", "--text-3", "--sunken", "--surface", "--line-2", "--edge"];

/** {resize, all(scene), changed(scene), themed()}; a scene is {layout, groups, feeds, measure, now, scrollTop}. */
export function painter(canvas) {
  const pen = canvas.getContext("2d", { alpha: false });
  let size = { width: 0, height: 0 };
  let colours = {};
  let font = "sans-serif";
  let sight = []; // what was painted: {row, x, y, key}

  function themed() {
    const style = getComputedStyle(document.documentElement);
    colours = Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(name).trim()]));
    font = style.getPropertyValue("--font");
  }
  function resize(width, height) {
    const ratio = devicePixelRatio || 1;
    size = { width, height };
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.textBaseline = "middle";
  }
  function all(scene) {
    const { layout, groups, feeds, measure, scrollTop } = scene;
    pen.fillStyle = colours["--surface"];
    pen.fillRect(0, 0, size.width, size.height);
    sight = [];
    groups.forEach((group, i) => {
      const head = spot(layout, i, 0);
      const y = head.y - scrollTop;
      if (y < -2 * layout.row || y > size.height + layout.row) return;
      if (i % layout.rows === 0) codes(feeds, layout, head.x, y - 9);
      name(group.base, group.rank >= 3 * measure.step && scene.strong, head.x - layout.label, y + layout.row / 2, layout);
      for (let j = 0; j < feeds.length; j++) {
        const at = { row: group.cells[j], x: head.x + j * layout.cell, y, key: NaN };
        at.key = keyOf(at.row, scene);
        cell(at, scene);
        if (at.row !== undefined) sight.push(at);
      }
    });
  }
  function changed(scene) {
    for (const at of sight) {
      const key = keyOf(at.row, scene);
      if (key === at.key) continue;
      at.key = key;
      pen.fillStyle = colours["--surface"];
      pen.fillRect(at.x, at.y, scene.layout.cell, scene.layout.row);
      cell(at, scene);
    }
  }
  function codes(feeds, layout, x, y) {
    pen.font = `600 10px ${font}`;
    pen.fillStyle = colours["--text-3"];
    pen.textAlign = "center";
    feeds.forEach((feed, j) => pen.fillText(feed.code, x + j * layout.cell + layout.cell / 2, y));
  }
  function name(base, strong, x, y, layout) {
    pen.font = `${strong ? 650 : 500} 11.5px ${font}`;
    pen.textAlign = "left";
    pen.fillStyle = colours["--text"];
    pen.fillText(base, x, y + 0.5, layout.label - 6);
  }
  function cell({ row, x, y, key }, { layout, measure }) {
    const width = layout.cell;
    const height = layout.row;
    if (key === EMPTY) {
      pen.fillStyle = colours["--line-2"];
      pen.fillRect(x + width / 2 - 1, y + height / 2 - 1, 2, 2);
    } else if (key === UNRATED) {
      pen.strokeStyle = colours["--edge"];
      pen.lineWidth = 1;
      pen.strokeRect(x + 1.5, y + 1.5, width - 4, height - 4);
    } else {
      const value = measure.value(row);
      const { fill, ink } = toneAt(toneIndex(value / measure.step));
      pen.fillStyle = fill;
      pen.fillRect(x, y, width - 1, height - 1);
      if (key % 2 === 1) stripes(x, y, width, height);
      if (Math.abs(value) < measure.printed) return;
      pen.font = `${Math.abs(value / measure.step) >= 3 ? 700 : 500} ${width < 22 ? 9 : 10.5}px ${font}`;
      pen.textAlign = "center";
      pen.fillStyle = ink;
      pen.fillText(signed(value, 0), x + (width - 1) / 2, y + height / 2, width - 2);
    }
  }
  function stripes(x, y, width, height) {
    pen.fillStyle = colours["--surface"];
    for (let s = 2; s < width - 1; s += 5) pen.fillRect(x + s, y, 2, height - 1);
  }
  return { resize, all, changed, themed };
}

/** A number that differs when a cell has to look different: tone, printed integer, and (odd) staleness. */
function keyOf(row, { measure, now }) {
  if (row === undefined) return EMPTY;
  const value = measure.value(row);
  if (value === null || !Number.isFinite(value)) return UNRATED;
  const stale = row.removed || now - row.event > row.staleAfter * 1000;
  const printed = Math.abs(value) < measure.printed ? 0 : Math.max(-9999, Math.min(9999, Math.round(value)));
  return ((printed + 10_000) * 100 + toneIndex(value / measure.step)) * 2 + (stale ? 1 : 0);
}
