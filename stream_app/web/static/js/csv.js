// Contracts as a CSV file: numbers as numbers, rates as fractions, times as ISO.

import { el, toast } from "./dom.js";
import { count, iso } from "./format.js";

const COLUMNS = {
  contract_id: (r) => r.id,
  feed: (r) => r.feed,
  symbol: (r) => r.symbol,
  base: (r) => r.base,
  quote: (r) => r.quote,
  rate: (r) => r.rate,
  interval_hours: (r) => r.hours,
  interval_source: (r) => r.intervalSource,
  interval_doubtful: (r) => r.doubtful,
  rate_8h: (r) => r.rate8,
  apr: (r) => r.apr,
  z: (r) => r.z,
  robust_z: (r) => r.robust,
  percentile: (r) => r.percentile,
  samples: (r) => r.samples,
  confidence: (r) => r.confidence,
  mark_price: (r) => r.mark,
  turnover_24h: (r) => r.turnover,
  open_interest: (r) => r.interest,
  next_funding_time: (r) => iso(r.next),
  event_time: (r) => iso(r.event),
  transport: (r) => r.transport,
};

export function csvOf(rows) {
  const lines = rows.map((row) =>
    Object.values(COLUMNS)
      .map((value) => cell(value(row)))
      .join(","),
  );
  return `${[Object.keys(COLUMNS).join(","), ...lines].join("\r\n")}\r\n`;
}

/** A text that a spreadsheet would take for a formula gets an apostrophe: symbols come from outside. */
function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "string") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Offer `rows` as a download. */
export function downloadCsv(rows, now) {
  const href = URL.createObjectURL(new Blob([csvOf(rows)], { type: "text/csv" }));
  el("a", { href, download: `contracts-${iso(now).slice(0, 19).replaceAll(":", "")}Z.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
  toast(`${count(rows.length)} rows as CSV`);
}
