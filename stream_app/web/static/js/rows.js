// One contract as the views see it.

const HOURS_OF_YEAR = 8760;
const STALE_S = 120; // until its feed says better

/** All fields from the start, so that every row has one shape. Times are ms by the server's clock, rates fractions. */
export class Row {
  constructor(index, id, feed, symbol, base, quote) {
    this.id = id;
    this.index = index;
    this.feed = feed;
    this.symbol = "";
    this.base = "";
    this.quote = "";
    this.haystack = ""; // what the search looks through
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
    this.multiplier = null; // units of the base that the mark price is of
    this.currency = ""; // what the quote asset is worth one of; empty: not known
    this.turnover = null; // of 24 hours, in the quote asset
    this.interest = null; // the value of all open positions of one side, in the quote asset
    this.event = 0;
    this.moved = 0; // when the rate last rose (ms) or fell (−ms); 0: not yet
    this.staleAfter = STALE_S;
    this.removed = false;
    this.spark = null; // of sparklines.js
    this.name(symbol, base, quote);
  }

  /** Take the names; returns whether any is new. */
  name(symbol, base, quote) {
    if (symbol === this.symbol && base === this.base && quote === this.quote) return false;
    Object.assign(this, { symbol, base, quote });
    this.haystack = `${this.id} ${base} ${quote ?? ""}`.toLowerCase();
    return true;
  }

  /** What a unit of the base asset costs, in `currency`; null: not known. */
  get price() {
    return this.mark > 0 && this.multiplier > 0 ? this.mark / this.multiplier : null;
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
