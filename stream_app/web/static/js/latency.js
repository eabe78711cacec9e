// How long a z-score takes from Kafka to a pixel of this screen: a histogram of the last five minutes.

const BUCKETS = 120;
const GROWTH = 1.1; // 10 % wide: from 1 ms to some 80 s
const MINUTES = 5;
const WAITING = 64; // frames of which the painting is awaited; a hidden tab paints none

const slots = Array.from({ length: MINUTES }, () => ({ minute: -1, counts: new Uint32Array(BUCKETS) }));
const waiting = [];

/** A frame was applied: its rows' ages (ms, at `sentAt` of the server's clock) wait for the next painting. */
export function awaitPaint(sentAt, ages) {
  if (ages.length === 0 || document.hidden) return;
  if (waiting.length === WAITING) waiting.shift();
  waiting.push({ sentAt, ages });
}

/** Everything applied so far has been painted at `now` (ms of the server's clock). */
export function painted(now) {
  if (waiting.length === 0) return;
  const counts = slotOf(now).counts;
  for (const { sentAt, ages } of waiting) {
    const extra = Math.max(0, now - sentAt);
    for (const age of ages) counts[bucketOf(age + extra)] += 1;
  }
  waiting.length = 0;
}

/** Forget what is not painted: the tab was hidden. */
export function forgetWaiting() {
  waiting.length = 0;
}

function slotOf(now) {
  const minute = Math.floor(now / 60_000);
  const slot = slots[minute % MINUTES];
  if (slot.minute !== minute) {
    slot.minute = minute;
    slot.counts.fill(0);
  }
  return slot;
}

function bucketOf(ms) {
  return ms <= 1 ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log(ms) / Math.log(GROWTH)));
}

/** {p50, p99, count} in ms over the last five minutes; p50 and p99 are null without a sample. */
export function latency(now) {
  const newest = Math.floor(now / 60_000);
  const sum = new Float64Array(BUCKETS);
  let count = 0;
  for (const slot of slots) {
    if (newest - slot.minute >= MINUTES) continue;
    slot.counts.forEach((n, i) => {
      sum[i] += n;
      count += n;
    });
  }
  return { p50: quantile(sum, count, 0.5), p99: quantile(sum, count, 0.99), count };
}

function quantile(sum, count, share) {
  if (count === 0) return null;
  let seen = 0;
  const at = sum.findIndex((n) => (seen += n) >= share * count);
  return GROWTH ** at;
}
