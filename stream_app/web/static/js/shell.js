// What stands around the views: the bar with its state, the banner, the foot.

import { el, setAttr, setHidden, setText, svg } from "./dom.js";
import * as format from "./format.js";
import { feedHealth } from "./health.js";
import { help } from "./keys.js";
import { latency } from "./latency.js";
import { heardAt, scriptLoad, staleFeeds, store } from "./store.js";
import { showBanner } from "./banner.js";

const NAV = [
  ["contracts", "Contracts", "M2 4h14M2 9h14M2 14h14"],
  ["map", "Map", "M2 2h6v6H2zM10 2h6v6h-6zM2 10h6v6H2zM10 10h6v6h-6z"],
  ["spreads", "Spreads", "M2 5h12l-3-3M16 13H4l3 3"],
  ["feeds", "Feeds", "M2 12l4-5 3 4 4-8 3 6"],
  ["alerts", "Alerts", "M4 12V8a5 5 0 0110 0v4l2 2H2zM7 16h4"],
];
const MODES = {
  live: ["LIVE", "Rates come from the exchanges"],
  simulated: ["SIMULATED", "Rates come from simulated exchanges: nothing here is a market"],
  mixed: ["PARTLY SIMULATED", "Some of the feeds are simulated exchanges; the Feeds view says which"],
  unknown: ["SOURCE UNKNOWN", "The server does not know whether these rates are a market's or a simulation's"],
};
const WORDS = { live: "live", loading: "connecting", empty: "no data", warming: "warming up", frozen: "frozen" };
const HOUR_MS = 3_600_000;
const FOOT_MS = 1000;

const root = document.documentElement;
const parts = {
  state: el("span", { class: "state" }),
  feeds: el("b"),
  utc: el("b"),
  latency: el("b"),
  script: el("b"),
  lag: el("b"),
  delay: el("b"),
};
const counts = [];
let footAt = 0;

/** Build the frame once. */
export function frameParts({ toggleTheme }) {
  document.querySelector("#nav").append(...navigation());
  document
    .querySelector("#pulse")
    .append(
      parts.state,
      el("span", { class: "mid wide" }, parts.feeds, " feeds"),
      el("span", { class: "wide" }, parts.utc, " UTC"),
      el("button", { class: "btn quiet", type: "button", onclick: toggleTheme, "aria-label": "Light or dark theme" }, "◑"),
      el("button", { class: "btn quiet hide-s", type: "button", onclick: help, "aria-label": "Keyboard help" }, "?"),
    );
  document.querySelector("#foot").append(...foot(), el("nav", { class: "nav", "aria-label": "Views, below" }, navigation()));
}

function navigation() {
  return NAV.map(([name, label, path]) => {
    const icon = svg("svg", { viewBox: "0 0 18 18", "aria-hidden": "true" }, svg("path", { d: path, class: "icon" }));
    const link = el("a", { href: `#/${name}`, "data-view": name }, icon, label);
    if (name === "alerts") {
      const count = el("span", { class: "count", title: "in the last hour", hidden: true });
      counts.push(count);
      link.append(count);
    }
    return link;
  });
}

function foot() {
  const key = (text) => el("kbd", {}, text);
  return [
    el("span", { title: "From a z-score's record in Kafka to its pixel here, last 5 minutes" }, "Kafka to pixel p50 / p99 ", parts.latency),
    el("span", { title: "Time this page's script takes" }, "script ", parts.script),
    el("span", { title: "Raw records that the workers have not applied" }, "worker lag ", parts.lag),
    el("span", { title: "From receipt at the producer to the output in Kafka" }, "processing p99 ", parts.delay),
    el("span", { class: "grow" }),
    el("span", { class: "hints" }, key("/"), " search ", key("j"), " ", key("k"), " move ", key("↵"), " open ", key("?"), " keys"),
  ];
}

/** Bring the frame up to date; `state` is of pageState(). */
export function showFrame(state, now) {
  setAttr(root, "data-state", state);
  setAttr(parts.state, "data-s", state);
  setText(parts.state, wordsOf(state));
  setText(parts.utc, format.clock(now));
  const live = store.feeds.filter((feed) => !feedHealth(feed).stale).length;
  const unknown = state === "frozen" || state === "loading" || store.feeds.length === 0;
  setText(parts.feeds, `${unknown ? format.DASH : live} of ${store.feeds.length || format.DASH}`);
  showMode();
  showBanner(state, now);
  if (now - footAt >= FOOT_MS || now < footAt) {
    footAt = now;
    showFoot(now);
  }
}

function wordsOf(state) {
  if (state === "frozen" && heardAt() === null) return "not connected";
  if (state !== "stale") return WORDS[state];
  const n = staleFeeds().length;
  return `${n} feed${n === 1 ? "" : "s"} stale`;
}

function showMode() {
  const mode = document.querySelector("#mode");
  setHidden(mode, store.status === null);
  if (store.status === null) return;
  const market = MODES[store.status.market] ? store.status.market : "unknown";
  setAttr(mode, "data-mode", market);
  setText(mode, MODES[market][0]);
  setAttr(mode, "title", MODES[market][1]);
}

function showFoot(now) {
  const { p50, p99 } = latency(now);
  setText(parts.latency, `${number(p50)} / ${format.milliseconds(p99)}`);
  setText(parts.script, `${scriptLoad().toFixed(1)} ms/s`);
  setText(parts.lag, store.status?.records_behind === null ? format.DASH : format.count(store.status?.records_behind));
  setText(parts.delay, format.milliseconds(seconds(store.status?.delay_p99_s)));
  const recent = store.alerts.filter((alert) => now - alert.created_at / 1000 < HOUR_MS).length;
  for (const count of counts) {
    setHidden(count, recent === 0);
    setText(count, String(recent));
  }
}

const number = (value) => (value === null ? format.DASH : String(Math.round(value)));
const seconds = (value) => (typeof value === "number" ? value * 1000 : null);
