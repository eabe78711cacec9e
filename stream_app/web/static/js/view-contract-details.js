// The lists beside the chart: facts, the same base elsewhere, gaps, alerts and audit events.

import { el, setAttr, setClass, setText } from "./dom.js";
import * as format from "./format.js";
import { causeWords, lastedWords, ofContract, outcome, together } from "./gap-words.js";
import { contractUrl } from "./router.js";

const MOST_OTHERS = 12;
const REORDER_MS = 5000;
const FIRST_EVENTS = 8;

export const section = (title, ...body) =>
  el("section", {}, typeof title === "string" ? el("h2", {}, title) : title, body);

/** A rate without rounding: eight decimals, more where it has them, never an exponent. */
function fraction(value) {
  if (!Number.isFinite(value)) return format.DASH;
  return value
    .toFixed(14)
    .replace(/(\.\d{8}\d*?)0+$/, "$1")
    .replace("-", "−");
}

function zoneText(row) {
  if (row.z === null) return row.samples < 10 ? `unrated: ${row.samples} settlements, 10 needed` : "unrated";
  return Math.abs(row.z) > 2 ? "high" : "normal";
}

function intervalText(row) {
  const source = {
    payload: "said with the rate",
    exchange_info: "by the exchange's list",
    observed: "observed",
    assumed: "assumed",
  };
  const known = row.intervalSource ? `, ${source[row.intervalSource] ?? row.intervalSource}` : "";
  return `${format.hours(row.hours)}${known}${row.doubtful ? "; doubtful" : ""}`;
}

function quoted(amount, row) {
  return amount === null ? format.DASH : `${format.count(amount)} ${row.quote ?? ""}`.trimEnd();
}

const FACTS = [
  ["Rate, a fraction", (row) => fraction(row.rate)],
  ["8-hour rate", (row) => `${format.pct(row.rate8, 5)} %`],
  ["Interval", intervalText],
  ["Robust z", (row) => format.z(row.robust)],
  ["Zone", zoneText],
  ["Confidence", (row) => `${row.confidence.replace("_", " ")}, ${format.count(row.samples)} settlements`],
  ["Mean, 8 h", (row) => (row.mean === null ? format.DASH : `${format.pct(row.mean, 5)} %`)],
  ["Standard deviation", (row) => (row.std === null ? format.DASH : `${(row.std * 100).toFixed(5)} %`)],
  ["Baseline of", (row) => (row.statsAsOf === null ? format.DASH : `${format.stamp(row.statsAsOf)} UTC`)],
  ["Mark price", (row) => format.price(row.mark)],
  ["Turnover 24 h", (row) => quoted(row.turnover, row)],
  ["Open interest", (row) => quoted(row.interest, row)],
  ["Settles at", (row) => (row.next === null ? format.DASH : `${format.stamp(row.next)} UTC`)],
  ["Exchange's time", (row) => `${format.stamp(row.event)} UTC`],
  ["Source", (row) => (row.transport === "rest" ? "REST" : "stream")],
  ["Stale after", (row) => (row.staleAfter > 0 ? `${row.staleAfter} s` : format.DASH)],
];

export class Facts {
  constructor() {
    this.cells = FACTS.map(() => el("dd", { class: "r" }));
    this.root = el(
      "dl",
      { class: "facts" },
      FACTS.map(([term], i) => [el("dt", {}, term), this.cells[i]]),
    );
  }

  paint(row) {
    FACTS.forEach(([, text], i) => setText(this.cells[i], text(row)));
  }
}

/** The same base on other feeds, the highest 8-hour rate first; live, in an order that is renewed every 5 s. */
export class Elsewhere {
  constructor(row) {
    this.orderedAt = 0;
    this.lines = new Map();
    this.list = el("div", { class: "list" });
    this.more = el("a", { class: "link lab", href: `#/contracts?q=${encodeURIComponent(row.base)}` });
    this.none = el("p", { class: "lab" }, "Nowhere else.");
    this.root = section(`${row.base} elsewhere, 8-hour rate`, this.list, this.none, this.more);
  }

  paint(row, rows, now) {
    if (Math.abs(now - this.orderedAt) > REORDER_MS) this.order(row, rows, now);
    for (const [other, line] of this.lines) {
      setText(line.children[1], `${format.pct(other.rate8)} %`);
      setText(line.children[2], format.z(other.z));
      setClass(line.children[2], `r ${format.tone(other.z)}`);
      const stale = other.staleAfter > 0 && now - other.event > other.staleAfter * 1000;
      setClass(line, stale ? "stale" : "");
      setAttr(line, "title", stale ? `stale: ${format.age((now - other.event) / 1000)} old` : "");
    }
  }

  order(row, rows, now) {
    this.orderedAt = now;
    const others = [...rows].filter((other) => other.base === row.base && other.id !== row.id);
    others.sort((a, b) => b.rate8 - a.rate8 || (a.id < b.id ? -1 : 1));
    const shown = others.slice(0, MOST_OTHERS);
    const lines = new Map(shown.map((other) => [other, this.lines.get(other) ?? elsewhereLine(other)]));
    const nodes = [...lines.values()];
    const same = nodes.length === this.list.children.length && nodes.every((node, i) => node === this.list.children[i]);
    const held = this.list.contains(document.activeElement) || this.list.matches(":hover");
    const gone = [...this.lines.keys()].some((other) => other.removed);
    if (!same && (!held || gone || this.lines.size === 0)) {
      this.lines = lines;
      this.list.replaceChildren(...nodes);
    }
    this.none.hidden = others.length > 0;
    this.more.hidden = others.length <= MOST_OTHERS;
    setText(this.more, `all ${others.length + 1} of ${row.base}`);
  }
}

function elsewhereLine(other) {
  return el(
    "a",
    { href: contractUrl(other.id) },
    el(
      "span",
      { class: "cut" },
      other.feed,
      el("span", { class: "dim" }, ` · ${format.hours(other.hours)} · ${other.symbol}`),
    ),
    el("span", { class: "r" }),
    el("span", { class: "r" }),
  );
}

/** A list that shows its first entries, and the rest when asked. */
function shortList(entries, build) {
  const list = el("div", { class: "list" }, entries.slice(0, FIRST_EVENTS).map(build));
  if (entries.length <= FIRST_EVENTS) return [list];
  const more = el("button", { class: "btn", type: "button" }, `Show all ${entries.length}`);
  more.addEventListener("click", () => {
    list.append(...entries.slice(FIRST_EVENTS).map(build));
    more.remove();
    list.children[FIRST_EVENTS].querySelector("a")?.focus();
  });
  return [list, more];
}

const nothing = (text) => [el("p", { class: "lab" }, text)];
const when = (ms, now) => el("span", { class: "dim" }, format.moment(ms, now));

/** Alerts of this contract: those of the stream and of the past, each once, newest first. */
export class Alerts {
  constructor() {
    this.body = el("div", { class: "stack" });
    this.root = section("Alerts", this.body);
    this.seen = null;
  }

  show(live, past, id, now) {
    const byId = new Map([...past, ...live].map((alert) => [alert.alert_id, alert]));
    const list = [...byId.values()].sort((a, b) => b.event_time - a.event_time);
    const seen = `${list.length} ${list[0]?.alert_id}`;
    if (seen === this.seen) return;
    this.seen = seen;
    this.body.replaceChildren(
      ...(list.length > 0 ? shortList(list, (alert) => alertLine(alert, id, now)) : nothing("None that is known.")),
    );
  }
}

function alertLine(alert, id, now) {
  const at = alert.event_time / 1000;
  return el(
    "div",
    {},
    el("a", { class: "link", href: contractUrl(id, { at }), title: "Show this moment" }, format.moment(at, now)),
    el("span", { class: "wrap" }, alert.message.replace(`${id}: `, "") || alert.kind),
    el("span", { class: "r" }, alert.kind === "z_cross" ? `z ${format.z(alert.value)}` : ""),
  );
}

export class Events {
  constructor() {
    this.gaps = el("div", { class: "stack" });
    this.audit = el("div", { class: "stack" }, nothing("Not loaded yet."));
    this.gapsSection = section("Gaps in this range", this.gaps);
    this.auditSection = section("Audit events", this.audit);
    this.gapsSection.hidden = true;
  }

  /** `past` is null where nothing of it could be loaded. */
  show(past, available, now) {
    if (past === null) return this.audit.replaceChildren(...nothing("Not known: history could not be loaded."));
    this.gapsSection.hidden = past.gaps.length === 0;
    this.gaps.replaceChildren(...shortList(together(past.gaps), (gaps) => gapLine(gaps, now)));
    const none = available ? "None in this range." : "Not known: history is not available.";
    return this.audit.replaceChildren(
      ...(past.audit.length > 0 ? shortList(past.audit, (event) => auditLine(event, now)) : nothing(none)),
    );
  }
}

function gapLine(gaps, now) {
  const [gap] = gaps;
  const [done, tone] = outcome(gaps, now);
  const many = gaps.length > 1 ? `${gaps.length} connections` : `connection ${gap.socket}`.trim();
  const what = [ofContract(gap) ? "" : `${many} of the feed`, causeWords(gap.cause)].filter(Boolean).join(": ");
  return el(
    "div",
    {},
    when(gap.from, now),
    el("span", { class: "wrap" }, what || "gap", el("span", { class: tone }, ` · ${done}`)),
    el("span", { class: "r" }, lastedWords(gaps, now)),
  );
}

function auditLine(event, now) {
  return el(
    "div",
    {},
    when(event.last, now),
    el("span", { class: "wrap" }, el("b", { class: "w2" }, event.kind), event.detail ? ` ${event.detail}` : ""),
    el("span", { class: "r dim" }, event.count > 1 ? `× ${format.count(event.count)}` : ""),
  );
}
