// What the map can show, on which scale, and its legend.

import { el, setStyle } from "./dom.js";
import * as format from "./format.js";
import { shade } from "./scale.js";

/**
 * `value` of a row in `unit`, the size of one step of the colour scale (of four), and from which size on the number is
 * printed as an integer.
 */
export const MEASURES = {
  z: { label: "z", legend: "z", value: (row) => row.z, step: 1, printed: 2, beyond: "±2 σ" },
  apr: { label: "APR", legend: "APR, %", value: (row) => row.apr * 100, step: 16, printed: 25, beyond: "±25 % a year" },
  rate8: { label: "8 h rate", legend: "8 h rate, bps", value: (row) => row.rate8 * 1e4, step: 1.5, printed: 2.5, beyond: "±2.5 bps" },
};

export const measureNamed = (name) => MEASURES[name] ?? MEASURES.z;

export function drawLegend(legend, measure) {
  const boxes = [-4, -3, -2, -1, 0, 1, 2, 3, 4].map((step) => {
    const box = el("i", {}, step % 2 ? "" : format.signed(step * measure.step, 0).trim());
    setStyle(box, { background: shade(step).fill, color: shade(step).ink });
    return box;
  });
  legend.replaceChildren(el("span", {}, measure.legend), ...boxes);
}
