// The difference between the server's clock and the reader's, from pings; the quickest of the newest few is believed.

const KEPT = 8;
const SET_MS = 500;
const measured = [];
let apart = null; // of the clock on the wall from the one that only runs

/** A pong came: `sent` and `received` (ms, the reader's clock), `serverNow` (ms). Returns the offset to use, ms. */
export function offsetFrom(sent, received, serverNow) {
  measured.push({ trip: received - sent, offset: serverNow - (sent + received) / 2 });
  if (measured.length > KEPT) measured.shift();
  return measured.reduce((best, each) => (each.trip < best.trip ? each : best)).offset;
}

/** Whether the reader's clock was set since the last call. A machine that has slept looks the same. */
export function clockWasSet() {
  const before = apart;
  apart = Date.now() - performance.now();
  return before !== null && Math.abs(apart - before) > SET_MS;
}

/** Forget what was measured: it was another server, or the reader's clock was set. */
export function forgetOffsets() {
  measured.length = 0;
}

export const isMeasured = () => measured.length > 0;
