// Beside the table: the two legs of a pair, what each day paid, and the calculator over settlements that happened.

import { getJson, isAbort } from "./api.js";
import { earned, readLeg } from "./calculator.js";
import { columnsOf } from "./chart-days.js";
import { el, setClass, setHidden, setText } from "./dom.js";
import * as format from "./format.js";
import { contractUrl, param, setParams } from "./router.js";
import { leastTurnover, legStale, paidOf, priceChecked, priceGap } from "./spread-pairs.js";
import { store } from "./store.js";

const MOST_DAYS = 30;
const KEEP_MS = 300_000;
const RETRY_MS = 30_000;
const FIELDS = [
  ["notional", "Notional per leg", 100_000, { step: 1000, max: 1e12 }, "USD"],
  ["fs", "Fee per fill, short leg", 4, { step: 0.5, max: 1000 }, "bps"],
  ["fl", "Fee per fill, long leg", 4, { step: 0.5, max: 1000 }, "bps"],
  ["days", "Held for the last", MOST_DAYS, { step: 1, min: 1, max: MOST_DAYS }, "days"],
];

export class PairPanel {
  constructor(onClose) {
    this.pair = null;
    this.key = "";
    this.known = new Map(); // "short|long" → {until, answer, legs}
    this.nextLoad = Infinity;
    this.title = el("h2", { class: "pair-title" });
    this.legs = [legLine("Short"), legLine("Long")];
    this.prices = el("p", { class: "note" });
    this.chart = el("div");
    this.form = el(
      "form",
      { class: "calc", onsubmit: (event) => event.preventDefault() },
      FIELDS.map((each) => this.field(each)),
    );
    this.note = el("p", { class: "note", role: "status", hidden: true });
    this.result = el("dl", { class: "facts result" });
    this.root = el(
      "aside",
      { class: "side", "aria-label": "Calculator", hidden: true },
      el("button", { class: "btn only-s close", type: "button", onclick: onClose }, "Close"),
      this.title,
      el(
        "div",
        { class: "legs" },
        this.legs.map((each) => each.root),
      ),
      this.prices,
      el("h3", {}, "What each of 30 days paid, bps"),
      this.chart,
      el("h3", {}, "Calculator"),
      this.form,
      this.note,
      this.result,
      el(
        "p",
        { class: "lab" },
        "From settlements that happened, special ones included. Short the first leg, long the second; four fills. Slippage, borrowing and margin are not in it.",
      ),
    );
  }

  field([name, label, value, limits, unit]) {
    const asked = Number(param(name));
    const input = el("input", {
      type: "number",
      name,
      inputmode: "decimal",
      value: param(name) !== "" && asked >= (limits.min ?? 0) && asked <= limits.max ? asked : value,
      min: 0,
      ...limits,
      oninput: () => {
        setParams({ [name]: Number(input.value) === value ? null : input.value });
        this.compute();
      },
    });
    return el("label", {}, el("span", {}, label), input, el("span", { class: "dim" }, unit));
  }

  show(pair) {
    this.pair = pair;
    setHidden(this.root, pair === null);
    this.key = "";
    if (pair !== null) this.update();
  }

  /** Live: the legs on every frame; the rest when the pair's contracts or what is known of them has changed. */
  update() {
    const { pair } = this;
    if (pair === null) return;
    this.legs[0].paint(pair.short);
    this.legs[1].paint(pair.long);
    setText(this.prices, pricesOf(pair));
    this.prices.dataset.s = priceChecked(pair) ? "" : "warn";
    const key = `${pair.short.id}|${pair.long.id}`;
    const paid = paidOf(pair);
    const due = performance.now() >= this.nextLoad;
    if (key === this.key && paid === this.paid && !due) return;
    const others = key !== this.key;
    Object.assign(this, { key, paid });
    setText(this.title, pair.base);
    this.chart.replaceChildren(
      paid === null
        ? el("p", { class: "lab" }, "Not known of these two legs yet.")
        : columnsOf(paid.days.map((day) => (day === null ? null : day * 1e4))),
    );
    if (others || due) this.load(key, pair);
  }

  /** What is known of the pair at once, and from the server where that is old. */
  async load(key, { short, long }) {
    this.asking?.abort();
    const kept = this.known.get(key);
    if (kept === undefined) {
      this.say("Loading the settlements …");
      this.result.replaceChildren();
    } else this.compute();
    this.nextLoad = kept?.until ?? 0;
    if (performance.now() < this.nextLoad) return undefined;
    const asking = new AbortController();
    this.asking = asking;
    this.nextLoad = Infinity;
    const ids = `high=${encodeURIComponent(short.id)}&low=${encodeURIComponent(long.id)}`;
    try {
      const answer = await getJson(`spreads/paid?${ids}&days=${MOST_DAYS}`, { signal: asking.signal });
      this.nextLoad = performance.now() + (answer.available ? KEEP_MS : RETRY_MS);
      this.known.set(key, { until: this.nextLoad, answer, legs: [readLeg(answer.high), readLeg(answer.low)] });
      if (this.known.size > 50) this.known.delete(this.known.keys().next().value);
    } catch (error) {
      if (isAbort(error)) return undefined;
      this.nextLoad = performance.now() + RETRY_MS;
      return this.say(`The settlements could not be loaded: ${error.message}.`, "warn");
    }
    return this.compute();
  }

  say(text, tone = "") {
    setText(this.note, text);
    this.note.dataset.s = tone;
    setHidden(this.note, text === "");
  }

  compute() {
    const kept = this.known.get(this.key);
    if (kept === undefined) return;
    const { answer, legs } = kept;
    const number = (name) => Number(this.form.elements[name].value);
    const days = Math.min(MOST_DAYS, Math.max(1, number("days") || 1));
    const got = earned(
      { short: legs[0], long: legs[1], knownFrom: answer.from / 1000, now: answer.to / 1000 },
      {
        notional: Math.max(0, number("notional")),
        shortBps: Math.max(0, number("fs")),
        longBps: Math.max(0, number("fl")),
        days,
      },
    );
    if (got === null) {
      const why = answer.available
        ? "no settlement of both legs is known in this time"
        : answer.reason || "history is not available";
      this.say(`Nothing to calculate: ${why}.`, "warn");
      this.result.replaceChildren();
      return;
    }
    this.say(incomplete(got, answer), "warn");
    this.result.replaceChildren(...lines(got));
  }

  destroy() {
    this.asking?.abort();
  }
}

function pricesOf(pair) {
  const traded = `24 h turnover of the leg that trades less: ${format.amount(leastTurnover(pair))}.`;
  const gap = priceGap(pair.short, pair.long);
  if (gap === null) return `Prices were not compared: these may be two assets of one name. ${traded}`;
  return `Prices ${(gap * 100).toFixed(2)} % apart. ${traded}`;
}

function incomplete(got, answer) {
  const parts = [];
  if (!answer.available) parts.push(answer.reason || "ClickHouse does not answer");
  if (got.asked - got.days >= 0.75)
    parts.push(`only ${got.days.toFixed(1)} of ${got.asked} days are known of both legs`);
  if (got.missing > 0) parts.push(`${got.missing} settlement${got.missing === 1 ? " is" : "s are"} missing in between`);
  return parts.length === 0 ? "" : `History is not complete: ${parts.join("; ")}.`;
}

function lines(got) {
  const line = (term, text, cls = "") => [el("dt", {}, term), el("dd", { class: `r ${cls}` }, text)];
  const usd = (value) => `${format.signed(value, Math.abs(value) < 100 ? 2 : 0)} USD`;
  const net = got.net === 0 ? "" : got.net < 0 ? "neg" : "pos";
  const days = Number(got.days.toFixed(1));
  return [
    line(
      "Settlements, short + long",
      `${format.count(got.settlements[0])} + ${format.count(got.settlements[1])} in ${days} d`,
    ),
    line(got.received < 0 ? "Short leg paid" : "Short leg received", usd(got.received)),
    line(got.paid < 0 ? "Long leg received" : "Long leg paid", usd(-got.paid)),
    line("Fees, four fills", usd(-got.fees)),
    line("Net", usd(got.net), `w3 ${net}`),
    line("Net a year, on the notional", got.yearly === null ? format.DASH : `${format.pct(got.yearly, 1)} %`),
    line("Fees earned back in", got.evenDays === null ? "not at all" : `${got.evenDays.toFixed(1)} d`),
  ].flat();
}

function legLine(word) {
  const link = el("a", { class: "link w2 cut" });
  const [feed, rate, hours] = [
    el("span", { class: "dim" }),
    el("span", { class: "r" }),
    el("span", { class: "dim r" }),
  ];
  const root = el("div", {}, el("span", { class: "lab" }, word), link, feed, rate, hours);
  return {
    root,
    paint(row) {
      const now = store.now();
      const stale = legStale(row, now);
      const href = contractUrl(row.id);
      if (link.getAttribute("href") !== href) link.setAttribute("href", href);
      setText(link, row.symbol);
      setText(feed, `${row.feed} · ${stale ? "◐ stale, " : ""}${format.age((now - row.event) / 1000)}`);
      setClass(feed, stale ? "bad" : "dim");
      setText(rate, `${format.pct(row.rate)} %`);
      setText(hours, `each ${format.hours(row.hours)}`);
    },
  };
}
