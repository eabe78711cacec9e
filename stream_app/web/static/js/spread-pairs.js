// Per base the best pair of legs: pure arithmetic over rows, the same as the SQL view funding.spreads.

export const TOO_OLD_S = 600; // a rate that stopped moving 10 minutes ago is nothing to trade against
const EIGHT_HOURS_A_YEAR = 1095;

const higher = (a, b) => a.rate8 > b.rate8 || (a.rate8 === b.rate8 && a.id < b.id);
const lower = (a, b) => a.rate8 < b.rate8 || (a.rate8 === b.rate8 && a.id < b.id);

/** Whether a row may be a leg: an interval that is not in doubt, and not older than ten minutes. */
export function tradable(row, now) {
  return row.base !== "" && !row.doubtful && Number.isFinite(row.rate8) && now - row.event < TOO_OLD_S * 1000;
}

/**
 * Per base the widest gap in the 8-hour rate between contracts of two feeds: Map of base → {short, long}.
 * `short` is the leg with the highest rate (being short of it receives most), `long` the one with the lowest.
 */
export function bestPairs(rows, now) {
  const bases = new Map();
  for (const row of rows) {
    if (!tradable(row, now)) continue;
    const best = bases.get(row.base);
    if (best === undefined) bases.set(row.base, { highs: [row, null], lows: [row, null] });
    else {
      enter(best.highs, row, higher);
      enter(best.lows, row, lower);
    }
  }
  const pairs = new Map();
  for (const [base, { highs, lows }] of bases) {
    const pair = choose(highs, lows);
    if (pair !== null) pairs.set(base, pair);
  }
  return pairs;
}

/** Keep the best row and the best one of another feed. */
function enter(two, row, better) {
  const [first, second] = two;
  if (better(row, first)) {
    two[0] = row;
    if (first.feed !== row.feed) two[1] = first;
  } else if (row.feed !== first.feed && (second === null || better(row, second))) two[1] = row;
}

function choose([high, nextHigh], [low, nextLow]) {
  if (high.feed !== low.feed) return { short: high, long: low };
  const one = nextLow && { short: high, long: nextLow };
  const other = nextHigh && { short: nextHigh, long: low };
  if (!one || !other) return one || other || null;
  return gapOf(one) >= gapOf(other) ? one : other;
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
