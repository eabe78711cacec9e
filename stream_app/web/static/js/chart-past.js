// The past of one contract as its chart draws it: the answer of the history endpoint, plus what came since.

import { readGap } from "./gap-words.js";

const MICRO = 1000;
const MOST_LIVE = 2000;

/** Times of the API are epoch µs, those of the page ms. */
const ms = (micros) => micros / MICRO;

/** Turn the columns of /api/v1/contracts/{id}/history into lists of points with times in ms. */
export function readHistory(answer) {
  const estimates = answer.estimates ?? { time: [], rate_8h: [], z: [] };
  const bars = answer.bars ?? { hour: [] };
  const settled = answer.settlements ?? { funding_time: [] };
  return {
    from: ms(answer.from),
    to: ms(answer.to),
    estimates: estimates.time.map((time, i) => ({
      at: ms(time),
      value: estimates.rate_8h[i],
      z: estimates.z[i] ?? null,
    })),
    bars: bars.hour.map((hour, i) => ({
      at: ms(hour),
      low: bars.low[i],
      high: bars.high[i],
      close: bars.close[i],
      covered: bars.covered_s?.[i] ?? null,
    })),
    settlements: readSettlements(settled),
    gaps: (answer.gaps ?? []).map(readGap),
    distribution: answer.distribution ?? null,
    audit: (answer.audit ?? []).map((event) => ({
      first: ms(event.first_event_time),
      last: ms(event.last_event_time),
      kind: event.kind,
      count: event.count,
      detail: event.detail ?? "",
    })),
    alerts: answer.alerts ?? [],
  };
}

/** Those whose 8-hour rate is known: without an interval a rate cannot be compared, and is not drawn. */
function readSettlements(settled) {
  const list = settled.funding_time.map((time, i) => ({
    at: ms(time),
    rate: settled.rate[i],
    value: settled.rate_8h[i],
    hours: settled.interval_hours[i] ?? null,
    special: settled.kind[i] === "special",
    source: settled.source?.[i] ?? "",
  }));
  return list.filter(({ value }) => Number.isFinite(value));
}

/** The past when nothing has been answered yet, or history cannot be had. */
export function emptyHistory(from, to) {
  return { from, to, estimates: [], bars: [], settlements: [], gaps: [], distribution: null, audit: [], alerts: [] };
}

/** Points that came by the stream since the page was opened; bounded by thinning its older half. */
export class LivePoints {
  constructor() {
    this.points = [];
  }

  /** Keep a row's present estimate, once for each of its event times. */
  add(at, value, z) {
    const last = this.points.at(-1);
    if (!Number.isFinite(value) || (last !== undefined && at <= last.at)) return false;
    this.points.push({ at, value, z });
    if (this.points.length > MOST_LIVE) {
      const half = MOST_LIVE / 2;
      this.points = this.points.filter((_, i) => i >= half || i % 2 === 0);
    }
    return true;
  }

  since(at) {
    return this.points.filter((point) => point.at > at);
  }
}

/** History and live points as one ordered series. */
export function joined(past, live) {
  const last = past.estimates.at(-1)?.at ?? -Infinity;
  return [...past.estimates, ...live.since(last)];
}

/** The same series with null wherever a gap opens or closes between two points: the line breaks there. */
export function broken(points, gaps, now) {
  if (gaps.length === 0) return points;
  const list = [];
  points.forEach((point, i) => {
    const before = points[i - 1];
    if (before !== undefined && gaps.some((gap) => crosses(gap, before.at, point.at, now))) list.push(null);
    list.push(point);
  });
  return list;
}

/** Whether a gap lies between two points. Its ends are the newest data before it and the first after it. */
export function crosses(gap, before, after, now) {
  const to = gap.to ?? now;
  const within = gap.from < before && after < to; // REST delivered in it: both points are known
  return gap.from < after && to > before && !within;
}
