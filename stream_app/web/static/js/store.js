// The live state: what the frames of /live have said so far. Views are told once per animation frame.

import { assessFeeds, feedHealth } from "./health.js";

export const MOST_ALERTS = 500;
export const MOST_NOTIFICATIONS = 2000;
const SILENT_MS = 2500;
const RENEW_MS = 250; // ages rise by the reader's clock even when nothing arrives
const ASSESS_MS = 1000;

/**
 * contracts: rows (see rows.js) · byId: Map id → row · feeds: FeedStatus + {code, stale_s, …} in order of name ·
 * alerts: newest first · notifications: Map "alert_id target" → whom an alert told · workers · status: null before the first frame · version: rises when contracts come or go.
 */
export const store = {
  contracts: [],
  byId: new Map(),
  byIndex: [],
  feeds: [],
  alerts: [],
  notifications: new Map(),
  workers: [],
  status: null,
  epoch: null,
  seq: -1,
  version: 0,
  alertsVersion: 0,
  feedsVersion: 0,
  clockOffset: 0,
  connection: { open: false, attempt: 0, retryAt: null, refused: "" },
  heard: null,
  /** The server's clock, ms: ages and countdowns are relative to this and not to the reader's clock. */
  now: () => Date.now() + store.clockOffset,
};
const begun = mark();
const listeners = new Set();
const cost = { spent: 0, perSecond: 0, since: performance.now() };
let frame = 0;
let assessedAt = 0;
let renderedAt = 0;

/** Two clocks, because the reader's wall clock may be set and the other may pause while the machine sleeps. */
function mark() {
  return { wall: Date.now(), steady: performance.now() };
}

function since(then) {
  return Math.max(0, Date.now() - then.wall, performance.now() - then.steady);
}

/** Note that a frame arrived now. */
export function heardNow() {
  store.heard = mark();
}

/** How long nothing has arrived, ms; before the first frame: since the page was opened. */
export const silence = () => since(store.heard ?? begun);

/** When the newest frame arrived by the server's clock, ms, or null. */
export const heardAt = () => (store.heard === null ? null : store.heard.wall + store.clockOffset);

/** What the whole page is: "loading", "frozen" (no frame for 2.5 s), "empty", "warming", "stale" or "live". */
export function pageState() {
  if (silence() > SILENT_MS) return "frozen";
  if (store.status === null) return "loading";
  if (staleFeeds().length > 0) return "stale";
  if (!store.status.caught_up) return "warming";
  if (store.contracts.length === 0) return "empty";
  return warming() ? "warming" : "live";
}

/** Whether baselines are still being loaded, so that a missing z may only be late. */
export function warming() {
  const { loaded = 0, expected = 0 } = store.status?.baselines ?? {};
  return store.status !== null && (!store.status.caught_up || loaded < expected);
}

/** The feeds that bring nothing fresh now; see health.js for what that means. */
export const staleFeeds = () => store.feeds.filter((feed) => feedHealth(feed).stale);

/** Call `listener(now)` once per animation frame with changes and at least four times a second while in sight. */
export function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Ask for one rendering in the next animation frame. A hidden tab renders nothing until it is seen again. */
export function announce() {
  frame ||= requestAnimationFrame(render);
}

function render() {
  frame = 0;
  const from = performance.now();
  renderedAt = from;
  const now = store.now();
  if (from - assessedAt > ASSESS_MS) {
    assessedAt = from;
    assessFeeds(store, now);
  }
  for (const listener of listeners) listener(now);
  spend(performance.now() - from);
}

/** Count script time, ms, towards the figure in the foot. */
export function spend(ms) {
  cost.spent += ms;
}

/** Script time in ms per second, over about the last two seconds. */
export function scriptLoad() {
  const passed = performance.now() - cost.since;
  if (passed > 2000) {
    cost.perSecond = (cost.spent / passed) * 1000;
    Object.assign(cost, { spent: 0, since: performance.now() });
  }
  return cost.perSecond;
}

setInterval(() => {
  if (!document.hidden && performance.now() - renderedAt >= RENEW_MS - 20) announce();
}, RENEW_MS);
