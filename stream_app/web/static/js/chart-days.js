// Small columns about zero, one a day: what each of 30 days paid.

import { el, svg } from "./dom.js";
import { signed } from "./format.js";

const SIZE = { width: 300, height: 72 };

/** values: bps a day, oldest first; null where a day is not known: no column, which is not zero. */
export function columnsOf(values) {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return el("p", { class: "lab" }, "No day of this pair is known.");
  const least = Math.min(...known);
  const most = Math.max(...known);
  const total = known.reduce((sum, value) => sum + value, 0);
  const lead = values.findIndex((value) => value !== null);
  const holes = values.length - known.length - lead;
  const unknown = [lead > 0 ? `${lead} d unknown` : "30 d ago", holes > 0 ? ` · ${holes} d missing` : ""].join("");
  return el(
    "figure",
    { class: "days" },
    svg(
      "svg",
      {
        viewBox: `0 0 ${SIZE.width} ${SIZE.height}`,
        role: "img",
        "aria-label": `${known.length} daily sums, ${signed(total, 1)} bps in all, least ${signed(least, 2)}, most ${signed(most, 2)}`,
      },
      ...columns(values, least, most),
    ),
    el(
      "figcaption",
      { class: "lab" },
      el("span", {}, unknown),
      el("span", {}, `least ${signed(least, 2)} · most ${signed(most, 2)}`),
      el("span", {}, "today"),
    ),
  );
}

function columns(values, least, most) {
  const { width, height } = SIZE;
  const size = Math.max(Math.abs(least), Math.abs(most)) || 1;
  const zero = least >= 0 ? height - 2 : most <= 0 ? 2 : height / 2;
  const room = least >= 0 || most <= 0 ? height - 4 : height / 2 - 2;
  const step = width / values.length;
  const bars = values.flatMap((value, i) => {
    if (value === null) return [];
    const tall = Math.max(0.5, (Math.abs(value) / size) * room);
    return svg("rect", {
      class: value < 0 ? "below" : "above",
      x: (i * step + 1).toFixed(2),
      width: (step - 2).toFixed(2),
      y: (value < 0 ? zero : zero - tall).toFixed(2),
      height: tall.toFixed(2),
    });
  });
  return [...bars, svg("line", { class: "zero", x1: 0, x2: width, y1: zero, y2: zero })];
}
