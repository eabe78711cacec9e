// Per base the best pair of legs: pure arithmetic over rows, the same as the SQL view funding.spreads.

export const TOO_OLD_S = 600; // a rate that stopped moving 10 minutes ago is nothing to trade against
export const MOST_APART = 0.05; // prices that differ by a greater share are those of two assets
const EIGHT_HOURS_A_YEAR = 1095;

const higher = (a, b) => b.rate8 - a.rate8 || (a.id < b.id ? -1 : 1);
const lower = (a, b) => a.rate8 - b.rate8 || (a.id < b.id ? -1 : 1);

/** By which share the dearer of two contracts costs more for a unit of the base; null where nothing tells. */
export function priceGap(one, other) {
  if (one.price === null || other.price === null || one.currency === "" || one.currency !== other.currency) return null;
  return Math.max(one.price, other.price) / Math.min(one.price, other.price) - 1;
}

/** Whether a row may be a leg: an interval that is not in doubt, and not older than ten minutes. */
export function tradable(row, now) {
  return row.base !== "" && !row.doubtful && Number.isFinite(row.rate8) && now - row.event < TOO_OLD_S * 1000;
}

/**
 * Per base the widest gap in the 8-hour rate between contracts of two feeds and one asset: Map of base → {short, long}.
 * `short` is the leg with the highest rate (being short of it receives most), `long` the one with the lowest.
 */
export function bestPairs(rows, now) {
  const bases = new Map();
  for (const row of rows) {
    if (!tradable(row, now)) continue;
    const legs = bases.get(row.base);
    if (legs === undefined) bases.set(row.base, [row]);
    else legs.push(row);
  }
  const pairs = new Map();
  for (const [base, legs] of bases) {
    const pair = legs.length > 1 ? widest(legs) : null;
    if (pair !== null) pairs.set(base, pair);
  }
  return pairs;
}

/** The widest pair of legs; of equally wide ones that whose contracts come first. */
function widest(legs) {
  const lows = legs.toSorted(lower);
  let best = null;
  for (const short of legs.toSorted(higher)) {
    for (const long of lows) {
      const gap = short.rate8 - long.rate8;
      if (gap < 0 || (best !== null && gap <= best.short.rate8 - best.long.rate8)) break;
      if (short.feed === long.feed || priceGap(short, long) > MOST_APART) continue;
      best = { short, long };
    }
  }
  return best;
}

/** Difference of the two 8-hour rates, a fraction for 8 hours. */
export const gapOf = (pair) => pair.short.rate8 - pair.long.rate8;

/** The same a year, not compounded. */
export const yearly = (gap8) => gap8 * EIGHT_HOURS_A_YEAR;

/** Seconds since the older leg was renewed. */
export const olderAge = (pair, now) => (now - Math.min(pair.short.event, pair.long.event)) / 1000;

/** Whether a leg is older than its feed's own limit; a limit that is not known marks nothing. */
export const legStale = (row, now) => row.staleAfter > 0 && now - row.event > row.staleAfter * 1000;

/**
 * Bring the pairs of a view up to date in place, so that a pair that is selected stays the same object.
 * `known`: Map of base → pair {base, short, long, paid}; `paid`: Map of base → readPaid(). Returns whether a pair came or
 * went.
 */
export function renew(known, rows, now, paid) {
  const best = bestPairs(rows, now);
  let changed = false;
  for (const base of known.keys()) {
    if (!best.has(base)) {
      known.delete(base);
      changed = true;
    }
  }
  for (const [base, legs] of best) {
    const pair = known.get(base);
    const said = paid.get(base) ?? null;
    if (pair !== undefined) Object.assign(pair, legs, { paid: said });
    else known.set(base, { id: base, base, ...legs, paid: said });
    changed ||= pair === undefined;
  }
  return changed;
}

/** What was paid belongs to two certain contracts: it is unknown for any other two. */
export function paidOf(pair) {
  const { paid } = pair;
  const same = paid !== null && paid.high === pair.short.id && paid.low === pair.long.id;
  return same ? paid : null;
}

/** What /api/v1/spreads says of a base: the two contracts, and what the one paid against the other. */
export function readPaid(answer) {
  return {
    high: answer.high.contract_id,
    low: answer.low.contract_id,
    week: answer.paid_7d ?? null,
    month: answer.paid_30d ?? null,
    signDays: answer.sign_days ?? null,
    days: answer.days ?? [],
  };
}
