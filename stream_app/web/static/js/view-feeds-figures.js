// Figures of a feed that are computed here: ages of its rates, frames a second, its state in words.

const WORDS = {
  live: ["live", "stream"],
  connecting: ["warming", "connecting"],
  recovering: ["stale", "recovering"],
  fallback: ["stale", "REST only"],
  stalled: ["down", "stalled"],
  down: ["down", "down"],
};

/** [glyph, word] of a feed's state; what is seen here (`health`) outweighs what its producer last said. */
export function stateOf(feed, health) {
  if (health.stale && feed.state in WORDS && WORDS[feed.state][0] !== "down") {
    return ["down", health.reason.includes("reports nothing") ? "silent" : "stale"];
  }
  if (feed.state === "live" && feed.transport === "rest") return ["live", "REST polls"];
  return WORDS[feed.state] ?? ["warming", feed.state];
}

/** Ages of the rates of each feed, s, ascending: Map of feed → Float64Array. */
export function agesByFeed(rows, now) {
  const lists = new Map();
  for (const row of rows) {
    const list = lists.get(row.feed);
    const age = Math.max(0, (now - row.event) / 1000);
    if (list === undefined) lists.set(row.feed, [age]);
    else list.push(age);
  }
  for (const [feed, list] of lists) lists.set(feed, Float64Array.from(list).sort());
  return lists;
}

/** The value that a share of a sorted list does not exceed; null of an empty list. */
export function quantile(sorted, share) {
  return sorted === undefined || sorted.length === 0
    ? null
    : sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)];
}

/** Frames a second from two reports of a feed. A count that fell is a producer that began anew: not known then. */
export class FrameRates {
  constructor() {
    this.last = new Map();
    this.rates = new Map();
  }

  see(feeds) {
    for (const { feed, reported_at: at, frames } of feeds) {
      const before = this.last.get(feed);
      if (before !== undefined && before.at >= at) continue;
      this.last.set(feed, { at, frames });
      if (before === undefined) continue;
      this.rates.set(feed, frames < before.frames ? null : (frames - before.frames) / ((at - before.at) / 1e6));
    }
  }

  of(feed) {
    return this.rates.get(feed) ?? null;
  }
}
