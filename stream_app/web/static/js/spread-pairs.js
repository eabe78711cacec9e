// Per base the best pair of legs: pure arithmetic over rows, the same as the SQL view funding.spreads.

export const TOO_OLD_S = 600; // a rate that stopped moving 10 minutes ago is nothing to trade against
export const MOST_APART = 0.05; // prices that differ by a greater share are those of two assets
export const MOST_OF_FEED = 16; // of more contracts of one base and feed than twice this, the middle ones are left out
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

/**
 * The widest pair of legs. One whose prices could be compared comes before any other; of equally wide ones that whose
 * contracts come first.
 */
function widest(legs) {
  if (legs.every(({ feed }) => feed === legs[0].feed)) return null;
  const lows = outermost(legs.toSorted(lower));
  let best = null;
  for (const short of lows.toSorted(higher)) {
    for (const long of lows) {
      const gap = short.rate8 - long.rate8;
      if (gap < 0 || (best?.checked && gap < best.gap)) break;
      const apart = priceGap(short, long);
      if (short.feed === long.feed || apart > MOST_APART) continue;
      const pair = { short, long, gap, checked: apart !== null };
      if (best === null || before(pair, best)) best = pair;
    }
  }
  return best && { short: best.short, long: best.long };
}

function before(one, other) {
  if (one.checked !== other.checked) return one.checked;
  if (one.gap !== other.gap) return one.gap > other.gap;
  if (one.short.id !== other.short.id) return one.short.id < other.short.id;
  return one.long.id < other.long.id;
}

/** Legs, in the order of their rates, without those in the middle of too many of one feed. */
function outermost(legs) {
  if (legs.length <= 2 * MOST_OF_FEED) return legs;
  const counts = new Map();
  for (const { feed } of legs) counts.set(feed, (counts.get(feed) ?? 0) + 1);
  const passed = new Map();
  return legs.filter(({ feed }) => {
    const place = passed.get(feed) ?? 0;
    passed.set(feed, place + 1);
    return place < MOST_OF_FEED || place >= counts.get(feed) - MOST_OF_FEED;
  });
}

/** Whether a pair's prices could be compared; where not, the legs may be of two assets of one name. */
export const priceChecked = (pair) => priceGap(pair.short, pair.long) !== null;

/** The turnover of the leg that is traded less, each in its quote asset; null where one is not known. */
export function leastTurnover({ short, long }) {
  if (short.turnover === null || long.turnover === null) return null;
  return Math.min(short.turnover, long.turnover);
}

/** Difference of the two 8-hour rates, a fraction for 8 hours. */
export const gapOf = (pair) => pair.short.rate8 - pair.long.rate8;

/** The same a year, not compounded. */
export const yearly = (gap8) => gap8 * EIGHT_HOURS_A_YEAR;

/** Seconds since the older leg was renewed. */
export const olderAge = (pair, now) => (now - Math.min(pair.short.event, pair.long.event)) / 1000;

/** Whether a leg is older than its feed's own limit; a limit that is not known marks nothing. */
export const legStale = (row, now) => row.staleAfter > 0 && now - row.event > row.staleAfter * 1000;

/** The rows of which at least so much is traded in 24 hours, each in its quote asset; 0 leaves none out. */
export const tradedAtLeast = (rows, turnover) =>
  turnover > 0 ? rows.filter((row) => row.turnover !== null && row.turnover >= turnover) : rows;

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
