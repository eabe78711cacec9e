// Cells that are more than text: star, name, rate, interval, z with its bar, confidence, sparkline.

import { el, setAttr, setClass, setHidden, setText, svg } from "./dom.js";
import { CONFIDENCE } from "./filters.js";
import * as format from "./format.js";
import { contractUrl } from "./router.js";
import { sparkOf } from "./sparklines.js";
import { isStarred, toggleStar } from "./stars.js";
import { store, warming } from "./store.js";

const MOVED_MS = 1600;
const BAR_TO = 10; // σ at the end of the bar
const TICK = `${(1 - Math.sqrt(2 / BAR_TO)) * 50}%`;

export const star = {
  build(cell) {
    const press = () => toggleStar(cell.row.id);
    cell.append(el("button", { class: "star", type: "button", tabindex: "-1", onclick: press }, "☆"));
  },
  paint(cell, row) {
    const on = isStarred(row.id);
    if (cell.row === row && cell.on === on) return;
    Object.assign(cell, { row, on });
    const button = cell.firstChild;
    setText(button, on ? "★" : "☆");
    setAttr(button, "aria-pressed", String(on));
    setAttr(button, "aria-label", `Star ${row.id}`);
  },
};

export const name = {
  build(cell) {
    // A link of its own, for a new tab: browsers do not let one mark text within a link. Enter opens the row, too.
    const link = { class: "to hide-s", tabindex: "-1", title: "Open" };
    cell.append(el("b"), el("span", { class: "venue" }), el("a", link, "→"));
  },
  paint(cell, row) {
    if (cell.row === row) return;
    cell.row = row;
    const [symbol, venue, link] = cell.children;
    setText(symbol, row.symbol);
    setText(venue, row.feed);
    setAttr(link, "href", contractUrl(row.id));
    setAttr(link, "aria-label", `Open ${row.id}`);
  },
};

/** The rate in the reader's unit; a small ▴ ▾ beside it for a moment after it moved. */
export const rate = (unit) => ({
  build(cell) {
    const moved = el("span", { class: "moved", "aria-hidden": "true" });
    cell.append(el("span"), moved, el("span", { class: "only-s unit" }));
  },
  paint(cell, row) {
    const [value, moved, name] = cell.children;
    setText(value, format.rate(row.rate, row.hours, unit()));
    const fresh = row.moved !== 0 && store.now() - Math.abs(row.moved) < MOVED_MS;
    setText(moved, fresh ? (row.moved > 0 ? "▴" : "▾") : " ");
    setText(name, { pct: "%", bps: "bps", apr: "%/y" }[unit()]);
  },
});

/** Hours between settlements, with a mark where they are assumed or doubtful. */
export const interval = {
  build(cell) {
    cell.append(el("span"), el("span", { class: "unsure", hidden: true }, "?"));
  },
  paint(cell, row) {
    setText(cell.firstChild, format.hours(row.hours));
    setHidden(cell.lastChild, !row.intervalUnsure);
    const why = unsure(row);
    if (cell.title !== why) cell.title = why;
  },
};

function unsure(row) {
  if (row.doubtful) return "The interval is doubtful: its sources contradict each other, so there is no z";
  return row.intervalSource === "assumed" ? "The interval is assumed: the exchange did not say it" : "";
}

/** z as a number and as a bar on a root scale of ±10 σ with ticks at ±2; sign by side, strength by weight. */
export const zScore = {
  build(cell) {
    const bar = el(
      "div",
      { class: "zbar hide-s", "aria-hidden": "true" },
      el("div", { class: "fill" }),
      el("i", { css: { left: TICK } }),
      el("i", { css: { right: TICK } }),
    );
    cell.append(el("span", { class: "r" }), bar, el("span", { class: "only-s unit", "aria-hidden": "true" }, "σ"));
  },
  paint(cell, row) {
    const [text, bar] = cell.children;
    const { z } = row;
    setText(text, z === null ? absent(row) : format.z(z));
    setClass(text, `r ${format.tone(z)}`);
    const why = z === null ? reasonOf(row) : "";
    if (cell.title !== why) cell.title = why;
    const fill = bar.firstChild;
    const scale = z === null ? "0" : (Math.sign(z) * Math.sqrt(Math.min(1, Math.abs(z) / BAR_TO))).toFixed(3);
    if (fill.scale === scale) return;
    fill.scale = scale;
    fill.style.transform = `scaleX(${scale})`;
    setClass(fill, scale < 0 ? "fill below" : "fill");
  },
};

const isLate = (row) => warming() && !row.doubtful && row.samples < 10;
const absent = (row) => (isLate(row) ? "loading" : format.DASH);

function reasonOf(row) {
  if (row.doubtful) return "No z: the interval is doubtful";
  if (isLate(row)) return "The baseline is being loaded";
  if (row.samples < 10) return `No z: ${row.samples} settlements of the last 30 days are known, 10 are needed`;
  return "No z: the settlements of 30 days do not differ from each other";
}

export const confidence = {
  build(cell) {
    cell.append(
      el(
        "span",
        { class: "conf", role: "img" },
        [1, 2, 3, 4].map(() => el("i")),
      ),
    );
  },
  paint(cell, row) {
    const box = cell.firstChild;
    if (box.level === row.confidence && box.samples === row.samples) return;
    Object.assign(box, { level: row.confidence, samples: row.samples });
    const level = CONFIDENCE.indexOf(row.confidence);
    [...box.children].forEach((bar, i) => setClass(bar, i < level ? "on" : ""));
    const text = `${row.confidence.replace("_", " ")}: ${row.samples} settlements`;
    setAttr(box, "aria-label", text);
    box.title = text;
  },
};

/** 48 closed hours of the 8-hour rate with the line of zero; drawn when the hour turns, not on every tick. */
export const sparkline = {
  build(cell) {
    const box = { class: "spark", viewBox: "0 0 47 20", preserveAspectRatio: "none", "aria-hidden": "true" };
    cell.append(svg("svg", box, svg("line", { x1: 0, x2: 47 }), svg("path", {})));
  },
  paint(cell, row) {
    const drawn = sparkOf(row);
    if (cell.drawn === drawn) return;
    cell.drawn = drawn;
    const box = cell.firstChild;
    box.style.visibility = drawn === null ? "hidden" : "";
    if (drawn === null) return;
    box.lastChild.setAttribute("d", drawn.path);
    box.firstChild.setAttribute("y1", drawn.zero);
    box.firstChild.setAttribute("y2", drawn.zero);
  },
};
