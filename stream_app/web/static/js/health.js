// Which feeds can be believed now: by what their producers say, and by how old their rates are.

const REPORT_LATE_MS = 30_000; // a producer reports each 5 s
const MOST_STALE = 0.5;
const NOBODY_DELIVERS = new Set(["stalled", "down"]);
const UNASSESSED = { stale: false, since: null, reason: "", fresh: 0, total: 0, byRest: 0 };
const found = new Map();

/** {stale, since (ms or null), reason, fresh, total, byRest} of a feed as of the last look, at most a second old. */
export const feedHealth = (feed) => found.get(feed.feed) ?? UNASSESSED;

/** Look at every feed. */
export function assessFeeds({ contracts, feeds }, now) {
  const tallies = new Map(feeds.map((feed) => [feed.feed, { total: 0, fresh: 0, byRest: 0, newest: 0 }]));
  for (const row of contracts) {
    const tally = tallies.get(row.feed);
    if (tally === undefined) continue;
    tally.total += 1;
    if (now - row.event <= row.staleAfter * 1000) tally.fresh += 1;
    if (row.transport === "rest") tally.byRest += 1;
    if (row.event > tally.newest) tally.newest = row.event;
  }
  found.clear();
  for (const feed of feeds) found.set(feed.feed, verdict(feed, tallies.get(feed.feed), now));
}

function verdict(feed, { total, fresh, byRest, newest }, now) {
  const counted = { fresh, total, byRest };
  const reportedAt = feed.reported_at / 1000;
  if (now - reportedAt > REPORT_LATE_MS) {
    return { ...counted, stale: true, since: reportedAt, reason: "its producer reports nothing" };
  }
  if (NOBODY_DELIVERS.has(feed.state)) {
    const since = feed.last_data_at === null ? feed.since / 1000 : feed.last_data_at / 1000;
    return { ...counted, stale: true, since, reason: feed.detail || feed.state };
  }
  const tooOld = total > 0 && total - fresh > total * MOST_STALE;
  if (tooOld) {
    const reason = `${total - fresh} of ${total} rates are older than ${feed.stale_s} s`;
    return { ...counted, stale: true, since: newest || null, reason };
  }
  return { ...counted, stale: false, since: null, reason: "" };
}
