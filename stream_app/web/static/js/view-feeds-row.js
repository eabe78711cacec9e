// One feed as a row of the table: built once, then only what differs is written.

import { el, setAttr, setClass, setHidden, setStyle, setText } from "./dom.js";
import * as format from "./format.js";
import { feedHealth } from "./health.js";
import { go } from "./router.js";
import { quantile, stateOf } from "./view-feeds-figures.js";

const LOW_DAY = 0.985;
const FAIR_DAY = 0.995;
const QUARTER_MS = 900_000;

/** Columns: [class, heading, title, right-aligned]. The heading of the meter is for screen readers only. */
export const COLUMNS = [
  ["f-name", "Feed", "", false],
  ["f-state", "State", "and for how long", false],
  ["f-live", "Contracts", "delivered within the stale limit / expected", true],
  ["f-p50", "Age p50", "half of the rates are younger", true],
  ["f-p99", "Age p99", "99 of 100 rates are younger", true],
  ["f-meter", "", "p99 against the stale limit", false],
  ["f-quarters", "Last 24 h, by quarter hour", "", false],
  ["f-day", "Day, %", "share of the time in which contracts were fresh", true],
  ["f-week", "Week, %", "the same of 7 days", true],
  ["f-share", "Stream / REST", "contracts that each serves now", false],
  ["f-gaps", "Gaps", "of the last 24 h", true],
  ["f-differ", "Differ", "reconciliation of the last 24 h: stream and REST, or settlements, that did not agree", true],
  ["f-limit", "Limit used", "share of the exchange's rate limit", false],
  ["f-sockets", "Sockets", "open now · connects since the producer started", true],
  ["f-frames", "Frames/s", "between the newest two reports", true],
];
const BUILT = [
  "name",
  "state",
  "live",
  "p50",
  "p99",
  "meter",
  "quarters",
  "day",
  "week",
  "share",
  "gaps",
  "differ",
  "limit",
  "sockets",
  "frames",
];

export class FeedRow {
  constructor(name) {
    this.name = name;
    this.href = `#/contracts?feed=${encodeURIComponent(name)}`;
    this.cells = {};
    const cells = COLUMNS.map(([cls, , , right], i) => {
      const first = i === 0;
      const cell = el(first ? "th" : "td", {
        class: right ? `${cls} r` : cls,
        role: first ? "rowheader" : "cell",
        scope: first ? "row" : null,
      });
      this.cells[BUILT[i]] = cell;
      return cell;
    });
    this.row = el("tr", { role: "row", class: "f-row", onclick: (event) => this.open(event) }, cells);
    this.why = el("td", { colspan: COLUMNS.length, role: "cell", class: "f-why" });
    this.whyRow = el("tr", { role: "row", class: "f-why-row", hidden: true }, this.why);
    this.fill();
  }

  fill() {
    const { cells } = this;
    this.link = el("a", { class: "link", href: this.href }, this.name);
    this.code = el("span", { class: "lab hide-s" });
    this.tag = el("span", { class: "tag", hidden: true }, "simulated");
    this.state = el("span", { class: "state" });
    this.since = el("span", { class: "lab" });
    this.fresh = el("b");
    this.expected = el("span", { class: "dim" });
    [this.meter, this.used] = [meter("meter"), meter("meter used")];
    this.stream = el("i");
    this.rest = el("i", { class: "rest" });
    this.shares = el("span", { class: "lab" });
    this.bars = Array.from({ length: 96 }, () => el("i"));
    this.quarters = el("div", { class: "quarters", role: "img" }, this.bars);
    this.open_ = el("span");
    this.connects = el("span", { class: "dim" });
    cells.name.append(this.link, this.code, this.tag);
    cells.state.append(this.state, " ", this.since);
    cells.live.append(this.fresh, this.expected);
    cells.meter.append(this.meter.root);
    cells.quarters.append(this.quarters);
    cells.share.append(el("div", { class: "share", "aria-hidden": "true" }, this.stream, this.rest), this.shares);
    cells.limit.append(this.used.root);
    cells.sockets.append(this.open_, this.connects);
  }

  open(event) {
    if (!event.target.closest("a") && String(getSelection()) === "") go(this.href);
  }

  /** `report`: of /api/v1/feeds or null; `ages`: sorted seconds; `frames`: a second or null. */
  paint({ feed, report, ages, frames, mixed, now }) {
    const health = feedHealth(feed);
    this.paintState(feed, health, mixed, now);
    this.paintAges(feed, health, ages);
    this.paintShare(feed, health);
    this.paintReport(report, now);
    const limit = feed.limit_used ?? null;
    this.used.show(limit, limit === null ? format.DASH : percent(limit), "of the rate limit used");
    setText(this.open_, format.count(feed.connections));
    setText(this.connects, ` · ${format.count(feed.connects)}`);
    setAttr(
      this.cells.sockets,
      "title",
      `${feed.connections} open, ${feed.connects} connects of ${feed.connect_attempts} attempts; ${format.count(feed.rest_calls)} REST calls, ${format.count(feed.rest_failures)} of them failed`,
    );
    setText(this.cells.frames, frames === null ? format.DASH : frames < 10 ? frames.toFixed(1) : format.count(frames));
  }

  paintState(feed, health, mixed, now) {
    const [glyph, word] = stateOf(feed, health);
    setAttr(this.state, "data-s", glyph);
    setText(this.state, word);
    const mode = feed.mode === "stream" ? "" : ` · ${feed.mode}`;
    setText(this.since, `${format.age((now - (health.since ?? feed.since / 1000)) / 1000)}${mode}`);
    setText(this.code, feed.code);
    setHidden(this.tag, !(mixed && feed.simulated));
    setAttr(this.cells.state, "title", `mode ${feed.mode}${feed.detail ? `: ${feed.detail}` : ""}`);
    const reasons = [...new Set([health.reason, feed.detail])].filter(Boolean).join("; ");
    const troubled = glyph !== "live" && reasons !== "";
    setHidden(this.whyRow, !troubled);
    setClass(this.row, troubled ? "f-row troubled" : "f-row");
    if (troubled) setText(this.why, `${feed.mode === "poll" ? "polling" : feed.mode}: ${reasons}`);
  }

  paintAges(feed, health, ages) {
    const [half, most] = [quantile(ages, 0.5), quantile(ages, 0.99)];
    const limit = feed.stale_s;
    const over = most !== null && most > limit;
    setText(this.cells.p50, format.age(half));
    setText(this.cells.p99, format.age(most));
    setClass(this.cells.p99, over ? "f-p99 r bad w2" : "f-p99 r");
    this.meter.show(most === null ? null : most / limit, `${limit} s`, "of the stale limit");
    setClass(this.meter.root, over ? "meter over" : "meter");
    setText(this.fresh, format.count(health.total > 0 ? health.fresh : feed.contracts_live));
    setText(this.expected, ` / ${format.count(feed.contracts_expected)}`);
  }

  paintShare(feed, health) {
    const total = health.total || feed.contracts_expected;
    const byRest = health.total > 0 ? health.byRest : feed.contracts_by_rest;
    const share = total > 0 ? byRest / total : null;
    setText(this.shares, share === null ? format.DASH : shareText(share));
    setStyle(this.stream, { flex: String(1 - (share ?? 1)) });
    setStyle(this.rest, { flex: String(share ?? 0) });
    setAttr(this.cells.share, "title", `${format.count(total - byRest)} by stream, ${format.count(byRest)} by REST`);
  }

  paintReport(report, now) {
    const { day, week, gaps, differ } = this.cells;
    const upDay = report?.uptime_day ?? null;
    setText(day, share(upDay));
    const tone = upDay === null ? "dim" : upDay < LOW_DAY ? "bad w2" : upDay < FAIR_DAY ? "warn w2" : "";
    setClass(day, `f-day r ${tone}`);
    const quarters = report?.quarters?.filter((value) => value !== null).length ?? 0;
    setAttr(day, "title", upDay === null ? "not known" : `of the ${quarters} quarters of an hour of 96 that are known`);
    setText(week, share(report?.uptime_week ?? null));
    setText(gaps, format.count(report?.gaps_24h ?? null));
    const bad = sumKnown(report?.mismatch, report?.settled_differs);
    const good = sumKnown(report?.matched, report?.settled_matched);
    setText(differ, format.count(bad));
    setClass(differ, `f-differ r ${bad ? "warn w2" : "dim"}`);
    setAttr(
      differ,
      "title",
      bad === null ? "not known" : `${format.count(bad)} of ${format.count(bad + (good ?? 0))} comparisons`,
    );
    this.paintQuarters(report?.quarters ?? null, now);
  }

  paintQuarters(list, now) {
    if (list === this.seenQuarters) return;
    this.seenQuarters = list;
    const values = Array.from({ length: 96 }, (_, i) => list?.[i] ?? null);
    const start = Math.floor(now / QUARTER_MS) * QUARTER_MS - 95 * QUARTER_MS;
    values.forEach((value, i) => {
      setClass(this.bars[i], value === null ? "none" : value >= 0.9995 ? "" : value >= 0.5 ? "part" : "bad");
      const at = format.clock(start + i * QUARTER_MS, false);
      this.bars[i].title = value === null ? `${at}: not known` : `${at}: ${(value * 100).toFixed(1)} %`;
    });
    const known = values.filter((value) => value !== null);
    const flawed = known.filter((value) => value < 0.9995).length;
    const words = known.length === 0 ? "not known" : `${flawed} of ${known.length} known quarters of an hour not whole`;
    setAttr(this.quarters, "aria-label", words);
  }
}

/** A percentage that says 100.00 only of what is whole. */
function share(value) {
  if (value === null) return format.DASH;
  return (Math.floor(value * 10_000 + 1e-6) / 100).toFixed(2);
}

/** Whole percents; 0 only of nothing. */
const percent = (value) => (value > 0 && value < 0.01 ? "< 1 %" : `${Math.round(value * 100)} %`);

/** Whole percents, but never 0 or 100 of what is neither. */
function shareText(value) {
  const rest = value === 0 || value === 1 ? value * 100 : Math.min(99, Math.max(1, Math.round(value * 100)));
  return `${100 - rest} / ${rest}`;
}

const sumKnown = (...values) => {
  const known = values.filter((value) => typeof value === "number");
  return known.length === 0 ? null : known.reduce((a, b) => a + b, 0);
};

/** A small bar with its text; null is an empty bar that says so. */
function meter(cls) {
  const fill = el("i");
  const text = el("span", { class: "lab" });
  const root = el("div", { class: cls, role: "img" }, fill, text);
  return {
    root,
    show(value, words, of) {
      setText(text, words);
      setStyle(fill, { transform: `scaleX(${Math.min(1, Math.max(0, value ?? 0)).toFixed(2)})` });
      setAttr(
        root,
        "aria-label",
        value === null ? `not known; ${words}` : `${Math.round(value * 100)} % ${of}, ${words}`,
      );
    },
  };
}
