// One line under the bar that says what is wrong, since when, and what is done about it.

import { el, setAttr, setHidden, setText } from "./dom.js";
import * as format from "./format.js";
import { feedHealth } from "./health.js";
import { heardAt, silence, staleFeeds, store } from "./store.js";

const box = document.querySelector("#banner");
const parts = {
  head: el("b", { role: "status" }), // only what stays the same is read out, not the seconds beside it
  text: el("span"),
  progress: el("progress", { "aria-label": "Baselines loaded" }),
  link: el("a", { class: "link" }, "Show them"),
};
box.append(parts.head, parts.text, parts.progress, parts.link);

/** Show what `state` (of pageState()) calls for, or nothing. */
export function showBanner(state, now) {
  const said = { frozen, warming, stale }[state]?.(now);
  setHidden(box, said === undefined);
  if (said === undefined) return;
  setAttr(box, "data-s", state);
  setText(parts.head, said.head);
  setText(parts.text, said.text);
  setHidden(parts.progress, said.of === undefined);
  if (said.of !== undefined) Object.assign(parts.progress, { max: said.of, value: said.done });
  setHidden(parts.link, said.href === undefined);
  if (said.href !== undefined) setAttr(parts.link, "href", said.href);
}

function frozen() {
  const { attempt, refused, open } = store.connection;
  const silent = `nothing received for ${format.age(silence() / 1000)}`;
  const trying = open ? "The connection is open but silent." : `Trying again, attempt ${Math.max(1, attempt)}.`;
  const why = refused ? ` Why: ${refused}.` : "";
  const since = heardAt();
  if (since === null) return { head: "Not connected", text: `${silent}. ${trying}${why}` };
  return {
    head: `Frozen since ${format.clock(since)} UTC`,
    text: `${silent}. Every number below is of that moment. ${trying}${why}`,
  };
}

function warming() {
  const { loaded, expected } = store.status.baselines;
  if (!store.status.caught_up) {
    return { head: "Reading the topics", text: "Rates appear as they are read. A contract without its baseline has no z yet." };
  }
  return {
    head: "Loading baselines",
    text: `${format.count(loaded)} of ${format.count(expected)}. Rates are live; a contract without its 30 days of settlements has no z yet.`,
    of: expected,
    done: loaded,
  };
}

function stale(now) {
  const feeds = staleFeeds();
  const since = (feed) => {
    const at = feedHealth(feed).since;
    return at === null ? "" : ` since ${format.moment(at, now)} UTC`;
  };
  const rest = store.feeds.length - feeds.length;
  const others = rest === 0 ? "No other feed is live." : `The other ${rest === 1 ? "feed is" : `${rest} feeds are`} live.`;
  const href = `#/contracts?feed=${feeds.map((feed) => feed.feed).join(",")}`;
  if (feeds.length === 1) {
    const { reason } = feedHealth(feeds[0]);
    return { head: `${feeds[0].feed} is stale`, text: `no fresh data${since(feeds[0])}: ${reason}. ${others}`, href };
  }
  return {
    head: `${feeds.length} feeds are stale`,
    text: `${feeds.map((feed) => `${feed.feed}${since(feed)}`).join("; ")}. ${others}`,
    href,
  };
}
