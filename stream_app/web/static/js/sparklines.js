// 48 closed hours of each contract: fetched once, and again when the hour has turned.

import { getJson } from "./api.js";
import { announce, store } from "./store.js";

const HOUR_MS = 3_600_000;
const LOOK_MS = 15_000;
const RETRY_MS = 60_000;
const LEVELS = 63;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const HEIGHT = 17; // of a box of 20 in which a line of 1.2 has room
const FOOT = 18.5;

let newest = 0; // start of the newest closed hour that is known, ms
let askedAt = -Infinity;
let asking = false;
let found = new Map();
let revision = 0;

/** Fetch now and keep up with the hours. A hidden tab asks when it is seen again. */
export function startSparklines() {
  void look();
  setInterval(look, LOOK_MS);
  document.addEventListener("visibilitychange", look);
}

async function look() {
  const closed = Math.floor(store.now() / HOUR_MS) * HOUR_MS - HOUR_MS;
  // The bars of an hour are complete a little after it ended, and not all readers should ask in the same second.
  const settled = store.now() - closed - HOUR_MS > LOOK_MS * (1 + Math.random());
  const due = found.size === 0 || (newest < closed && settled);
  if (asking || !due || document.hidden || performance.now() - askedAt < RETRY_MS) return;
  asking = true;
  askedAt = performance.now();
  try {
    accept(await getJson("sparklines"));
    announce();
  } catch (error) {
    console.warn("sparklines are not known:", error.message);
  } finally {
    asking = false;
  }
}

function accept(answer) {
  newest = answer.hour / 1000;
  found = new Map(
    answer.contract_id.map((id, i) => [id, { low: answer.low[i], high: answer.high[i], levels: answer.levels[i] }]),
  );
  revision += 1;
}

/** {path, zero} of a row's last 48 hours in a box of 47 × 20, or null; drawn once per hour and row. */
export function sparkOf(row) {
  if (row.spark?.revision === revision) return row.spark.drawn;
  const known = found.get(row.id);
  row.spark = { revision, drawn: known === undefined ? null : draw(known) };
  return row.spark.drawn;
}

/** The line breaks where an hour has no bar; the scale always holds zero. */
function draw({ low, high, levels }) {
  const bottom = Math.min(0, low);
  const span = Math.max(0, high) - bottom || 1;
  const y = (value) => (FOOT - ((value - bottom) / span) * HEIGHT).toFixed(1);
  let path = "";
  let pen = "M";
  for (let i = 0; i < levels.length; i++) {
    const level = ALPHABET.indexOf(levels[i]);
    if (level < 0) {
      pen = "M";
      continue;
    }
    path += `${pen}${i} ${y(low + ((high - low) * level) / LEVELS)}`;
    if (pen === "M") path += "h.01"; // one lonely hour is a point
    pen = "L";
  }
  return path === "" ? null : { path, zero: y(0) };
}
