// Which contracts are shown: search, feed, interval, confidence, quote, star, smallest |z|, band of z.

import { param, read } from "./router.js";
import { isStarred } from "./stars.js";
export { closeMenusOutside, menu, searchBox } from "./controls.js";

export const CONFIDENCE = ["none", "low", "medium", "high", "very_high"];
export const BANDS = [
  ["n3", "z ≤ −3", (z) => z <= -3],
  ["n2", "−3 … −2", (z) => z > -3 && z < -2],
  ["mid", "within ±2", (z) => z >= -2 && z <= 2],
  ["p2", "+2 … +3", (z) => z > 2 && z < 3],
  ["p3", "z ≥ +3", (z) => z >= 3],
  ["none", "no z", (z) => z === null],
];
export const FILTERS = ["q", "feed", "h", "conf", "quote", "band", "star", "min"];

export function bandOf({ z }) {
  if (z === null) return "none";
  if (z <= -3) return "n3";
  if (z < -2) return "n2";
  if (z <= 2) return "mid";
  return z < 3 ? "p2" : "p3";
}

/** The values of a parameter that holds a list. */
export const listParam = (name) => param(name).split(",").filter(Boolean);

/** A function that keeps or drops a row, from the address. */
export function predicate(params = read().params, { ignoreBand = false } = {}) {
  const words = (params.get("q") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const set = (key) => (params.get(key) ? new Set(params.get(key).split(",")) : null);
  const [feeds, hours, confidences, quotes] = ["feed", "h", "conf", "quote"].map(set);
  const bands = ignoreBand ? null : set("band");
  const starred = params.get("star") === "1";
  const least = Number(params.get("min")) || 0;
  return (row) =>
    (feeds === null || feeds.has(row.feed)) &&
    (hours === null || hours.has(String(row.hours))) &&
    (confidences === null || confidences.has(row.confidence)) &&
    (quotes === null || quotes.has(row.quote)) &&
    (!starred || isStarred(row.id)) &&
    (least <= 0 || (row.z !== null && Math.abs(row.z) >= least)) &&
    (bands === null || bands.has(bandOf(row))) &&
    words.every((word) => row.haystack.includes(word));
}
