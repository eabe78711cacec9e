// The difference between the server's clock and the reader's, from pings; the quickest of the newest few is believed.

const KEPT = 8;
const measured = [];

/** A pong came: `sent` and `received` (ms, the reader's clock), `serverNow` (ms). Returns the offset to use, ms. */
export function offsetFrom(sent, received, serverNow) {
  measured.push({ trip: received - sent, offset: serverNow - (sent + received) / 2 });
  if (measured.length > KEPT) measured.shift();
  return measured.reduce((best, each) => (each.trip < best.trip ? each : best)).offset;
}

/** Forget what was measured: it was another server, or the reader's clock was set. */
export function forgetOffsets() {
  measured.length = 0;
}

export const isMeasured = () => measured.length > 0;
