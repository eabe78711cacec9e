// What a pair would have earned from settlements that happened. Pure: no clock, no page.

const DAY = 86_400_000;
const FILLS_OF_A_LEG = 2; // in and out

/** One leg of /api/v1/spreads/paid as a list of {at (ms), rate}, in order. */
export function readLeg(answer) {
  return answer.funding_time
    .map((time, i) => ({ at: time / 1000, rate: answer.rate[i] }))
    .sort((one, other) => one.at - other.at);
}

/**
 * Being short of `short` and long of `long` over the last `days` before `now` (ms).
 * Each leg: settlements {at, rate} in order, which reach back to `knownFrom` at most. The settlements counted are those
 * after the window's start. Returns null where a leg has no settlement at all in the window.
 */
export function earned({ short, long, knownFrom, now }, { notional, shortBps, longBps, days }) {
  const begin = now - days * DAY;
  const from = Math.max(begin, knownSince(short, knownFrom), knownSince(long, knownFrom));
  const [shortIn, longIn] = [short, long].map((leg) => leg.filter(({ at }) => at > from && at <= now));
  if (shortIn.length === 0 || longIn.length === 0) return null;
  const counted = (now - from) / DAY;
  const received = sum(shortIn) * notional;
  const paid = sum(longIn) * notional;
  const fees = (FILLS_OF_A_LEG * (shortBps + longBps) * notional) / 1e4;
  const funding = received - paid;
  const missing = holes(shortIn) + holes(longIn);
  return {
    received,
    paid,
    funding,
    fees,
    net: funding - fees,
    yearly: notional > 0 ? ((funding - fees) / notional / counted) * 365 : null,
    evenDays: funding > 0 ? fees / (funding / counted) : null,
    settlements: [shortIn.length, longIn.length],
    days: counted,
    asked: days,
    missing,
    complete: missing === 0 && from - begin < spacing(short) + spacing(long),
  };
}

const sum = (list) => list.reduce((total, { rate }) => total + rate, 0);

/** A leg is known from one interval before its first settlement, and not before the server looked. */
function knownSince(leg, knownFrom) {
  return leg.length === 0 ? knownFrom : Math.max(knownFrom, leg[0].at - spacing(leg));
}

/** The usual time between two settlements: the median; a day where there are fewer than two. */
function spacing(leg) {
  const gaps = leg.slice(1).map(({ at }, i) => at - leg[i].at);
  return gaps.length === 0 ? DAY : gaps.sort((a, b) => a - b)[gaps.length >> 1];
}

/**
 * Settlements that are missing between others: a time between two that is half as long again as both its neighbours.
 * A change of interval has the longer time on one side, and is none.
 */
export function holes(leg) {
  const gaps = leg.slice(1).map(({ at }, i) => at - leg[i].at);
  let missing = 0;
  for (let i = 1; i < gaps.length - 1; i++) {
    const usual = Math.max(gaps[i - 1], gaps[i + 1]);
    if (gaps[i] > 1.5 * usual) missing += Math.round(gaps[i] / usual) - 1;
  }
  return missing;
}
