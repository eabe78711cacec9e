// The map in words: the cell under the pointer, and a table for readers who cannot see the canvas.

import { el } from "./dom.js";
import * as format from "./format.js";

const TABLE_ROWS = 60;

/** One line about a cell, and the row that it shows (or undefined). */
export function describe({ group, feed, j, now }) {
  const row = group.cells[j];
  if (row === undefined) return { text: `${group.base} is not listed on ${feed.feed}`, row };
  const more = group.others[j] > 0 ? `   (strongest of ${group.others[j] + 1} contracts)` : "";
  const parts = [
    row.id,
    `z ${format.z(row.z)}`,
    `rate ${format.pct(row.rate)} % each ${format.hours(row.hours)}${row.intervalUnsure ? "?" : ""}`,
    `APR ${format.pct(row.apr, 1)} %`,
    `next ${format.until(row.next, now)}`,
    `age ${format.age((now - row.event) / 1000)}`,
  ];
  return { text: parts.join("   ") + more, row };
}

/** Fill `table` with the first bases of the order, as text. */
export function fillTable(table, { groups, feeds, measure }) {
  const shown = groups.slice(0, TABLE_ROWS);
  const words = (row) => {
    if (row === undefined) return "not listed";
    const value = measure.value(row);
    return value === null ? "no baseline" : format.signed(value, 1).trim();
  };
  table.replaceChildren(
    el("caption", {}, `${measure.legend} of the first ${shown.length} of ${groups.length} bases`),
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        el("th", { scope: "col" }, "Base"),
        feeds.map((feed) => el("th", { scope: "col" }, feed.feed)),
      ),
    ),
    el(
      "tbody",
      {},
      shown.map((group) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, group.base),
          feeds.map((_, j) => el("td", {}, words(group.cells[j]))),
        ),
      ),
    ),
  );
}
