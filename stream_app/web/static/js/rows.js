// One contract as the views see it.

const HOURS_OF_YEAR = 8760;
const STALE_S = 120; // until its feed says better

/** All fields from the start, so that every row has one shape. Times are ms by the server's clock, rates fractions. */
export class Row {
  constructor(index, id, feed, symbol, base, quote) {
    this.id = id;
    this.index = index;
    this.feed = feed;
    this.symbol = symbol;
    this.base = base;
    this.quote = quote;
    this.hours = 8;
    this.intervalSource = null;
    this.doubtful = false;
    this.samples = 0;
    this.confidence = "none";
    this.mean = null;
    this.std = null;
    this.statsAsOf = null;
    this.next = null;
    this.transport = "ws";
    this.rate = 0;
    this.rate8 = 0;
    this.apr = 0;
    this.z = null;
    this.robust = null;
    this.percentile = null;
    this.mark = null;
    this.event = 0;
    this.moved = 0; // when the rate last rose (ms) or fell (−ms); 0: not yet
    this.staleAfter = STALE_S;
    this.removed = false;
    this.spark = null; // of sparklines.js
    this.haystack = `${id} ${base} ${quote}`.toLowerCase();
  }

  /** The interval is not what the exchange says: assumed by us, or contradicted. */
  get intervalUnsure() {
    return this.doubtful || this.intervalSource === "assumed";
  }

  setRate(rate) {
    this.rate = rate;
    this.rate8 = (rate * 8) / this.hours;
    this.apr = (rate * HOURS_OF_YEAR) / this.hours;
  }
}
