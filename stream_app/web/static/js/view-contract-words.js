// The chart of a contract in words: its line of figures, what a screen reader hears, and the legend.

import { el } from "./dom.js";
import * as format from "./format.js";

export const LEAST_RATED = 10;

/** What stands above the chart while nothing is read in it. `known`: the whole past of this range was answered. */
export function rest({ row, baseline, settlements, known }) {
  if (!baseline) return `${row.samples} settlements: no baseline below ${LEAST_RATED}`;
  const sigma = (baseline.std * 100).toFixed(4);
  const plural = settlements.length === 1 ? "settlement" : "settlements";
  const shown = known || settlements.length > 0 ? `${settlements.length} ${plural} shown` : "settlements not known";
  return `mean ${format.pct(baseline.mean)} %   σ ${sigma} %   ${shown}`;
}

/** The chart for those who do not see it. */
export function summary({ row, baseline, settlements, gaps, points, known }) {
  const values = points.map((point) => point.value);
  const parts = [`Now ${format.pct(row.rate8, 5)} percent, z ${format.z(row.z)}.`];
  if (values.length > 0) {
    const low = values.reduce((a, b) => Math.min(a, b));
    const high = values.reduce((a, b) => Math.max(a, b));
    parts.push(`Between ${format.pct(low, 4)} and ${format.pct(high, 4)} percent in this range.`);
  }
  if (baseline) parts.push(`Mean ${format.pct(baseline.mean)} percent, sigma ${format.pct(baseline.std)} percent.`);
  const special = settlements.filter((settlement) => settlement.special).length;
  if (known) parts.push(`${settlements.length} settlements, ${special} of them special; ${gaps.length} gaps.`);
  else parts.push("Settlements and gaps are not known in full.");
  return parts.join(" ");
}

export function legend() {
  const key = (mark, text) => el("span", {}, el("i", { class: mark }), text);
  return el(
    "p",
    { class: "key" },
    key("k-line", "estimate"),
    key("k-dot", "settlement"),
    key("k-special", "special settlement"),
    key("k-band", "present mean ± 1, 2, 3 σ"),
    key("k-gap", "gap"),
    key("k-bars", "hour, low to high"),
  );
}
