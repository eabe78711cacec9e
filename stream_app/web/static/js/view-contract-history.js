// The chart and the distribution on a contract's page: asks for the past, adds what comes live, says what is missing.

import { contractPath, getJson, isAbort } from "./api.js";
import { EstimateChart } from "./chart-estimate.js";
import { broken, emptyHistory, joined, LivePoints, readHistory } from "./chart-past.js";
import { el, segments, setAttr, setHidden, setText } from "./dom.js";
import * as format from "./format.js";
import { together } from "./gap-words.js";
import { Histogram } from "./histogram.js";
import { read, setParams } from "./router.js";
import { store } from "./store.js";
import { LEAST_RATED, legend, rest, summary } from "./view-contract-words.js";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const REDRAW_MS = 5000;
const REFRESH_MS = 300_000;
const OPEN_GAP_MS = 30_000;
const LEAST_RETRY_MS = 10_000;
const MOST_RETRY_MS = 120_000;
const AFTER_SETTLEMENT_MS = 20_000;
const LEAST_SPAN_MS = 600_000;
const RANGES = [
  ["1", "24 h"],
  ["2", "48 h"],
  ["7", "7 d"],
  ["30", "30 d"],
];

/** The range in the address, else the shortest one that shows the marked moment, else a week. */
function startRange(params, now) {
  const asked = params.get("range");
  if (RANGES.some(([value]) => value === asked)) return asked;
  const mark = markOf(params);
  if (mark === null) return "7";
  return RANGES.map(([value]) => value).find((value) => now - mark < Number(value) * DAY * 0.95) ?? "30";
}

export function markOf(params) {
  const at = Number(params.get("at"));
  return params.has("at") && Number.isFinite(at) && at > 0 ? at : null;
}

export class ContractHistory {
  /** `onPast(past or null, available)` hears each answer: audit events, alerts and gaps are shown elsewhere. */
  constructor(id, onPast) {
    const { params } = read();
    Object.assign(this, { id, onPast, past: null, failures: 0, nextAsk: 0, drawnAt: 0, reason: "" });
    this.days = startRange(params, store.now());
    this.mark = markOf(params);
    this.bars = params.get("bars") === "1";
    this.live = new LivePoints();
    this.chart = new EstimateChart();
    this.histogram = new Histogram();
    this.build();
  }

  build() {
    this.range = segments("Range", RANGES, this.days, (value) => this.pick(value));
    this.unmark = el("button", { class: "btn quiet mark", type: "button", onclick: () => this.clearMark() });
    this.toggle = el(
      "button",
      { class: "btn", type: "button", "aria-pressed": String(this.bars), onclick: () => this.toggleBars() },
      "Hourly bars",
    );
    this.legend = legend();
    setHidden(this.legend.lastChild, !this.bars);
    this.note = el("p", { class: "note", role: "status" });
    this.again = el("button", { class: "btn", type: "button", onclick: () => this.ask() }, "Try again");
    this.chartBox = el("div", { class: "chart-box" }, this.chart.root);
    this.histogramBox = el("div", { class: "hist-box" }, this.histogram.root);
    this.histogramTitle = el("h2", {}, "Settlements of the baseline");
    this.histogramNone = el("p", { class: "lab" });
    this.watch = new ResizeObserver(() => {
      if (this.chartBox.clientWidth !== this.width) this.drawnAt = 0;
    });
    this.watch.observe(this.chartBox);
    this.sections = [
      el(
        "section",
        { "aria-label": "Estimate over time" },
        el(
          "div",
          { class: "section-head" },
          el("h2", {}, "Estimate, as 8-hour rate in %"),
          el("span", { class: "grow" }),
          this.unmark,
          this.toggle,
        ),
        el("div", { class: "note-line" }, this.note, this.again),
        this.chartBox,
        this.legend,
      ),
      el("section", { "aria-label": "Distribution" }, this.histogramTitle, this.histogramBox, this.histogramNone),
    ];
    this.say();
  }

  pick(value) {
    this.days = value;
    setParams({ range: value });
    this.chart.reading.at = null;
    this.drawnAt = 0;
    this.ask();
  }

  toggleBars() {
    this.bars = !this.bars;
    setAttr(this.toggle, "aria-pressed", String(this.bars));
    setHidden(this.legend.lastChild, !this.bars);
    setParams({ bars: this.bars ? "1" : null });
    this.drawnAt = 0;
  }

  clearMark() {
    this.mark = null;
    this.chart.reading.at = null;
    setParams({ at: null });
    this.say();
    this.drawnAt = 0;
    this.toggle.focus();
  }

  async ask() {
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    this.nextAsk = Infinity;
    this.say();
    const path = `${contractPath(this.id)}/history?hours=${Number(this.days) * 24}`;
    const [answer, error] = await getJson(path, { signal: asking.signal }).then(
      (found) => [found, null],
      (failed) => [null, failed],
    );
    if (error !== null && isAbort(error)) return;
    this.failures = error === null ? 0 : this.failures + 1;
    this.reason =
      error !== null ? error.message : answer.available ? "" : answer.reason || "ClickHouse does not answer";
    if (error === null) this.past = readHistory(answer);
    if (error === null || this.past === null) this.onPast(this.past, answer?.available === true);
    this.asking = null;
    this.nextAsk = performance.now() + this.wait();
    if (this.mark !== null) this.chart.reading.at ??= this.mark;
    this.say();
    this.drawnAt = 0;
  }

  /** How long the answer is good for, ms. While a gap is open, its end is waited for. */
  wait() {
    if (this.reason) return Math.min(MOST_RETRY_MS, LEAST_RETRY_MS * 2 ** this.failures);
    return this.past.gaps.some((gap) => gap.to === null) ? OPEN_GAP_MS : REFRESH_MS;
  }

  /** Whether what is known does not reach back over the range. */
  isShorter(now) {
    return this.past === null || this.past.from > now - Number(this.days) * DAY + HOUR;
  }

  /** What is known of the past, in words: loading, not available and why, or nothing to say. */
  say() {
    const marked = this.mark !== null;
    setHidden(this.unmark, !marked);
    if (marked) {
      setText(this.unmark, `▸ ${format.moment(this.mark, store.now())} ×`);
      setAttr(this.unmark, "aria-label", `Remove the mark at ${format.stamp(this.mark)} UTC`);
    }
    const far = marked && store.now() - this.mark > 30 * DAY;
    let text = "";
    if (this.asking && this.isShorter(store.now())) text = "Loading the past …";
    else if (this.reason && this.failures > 0)
      text = `The past could not be loaded: ${this.reason}. Shown is what is known here.`;
    else if (this.reason) text = `History is not available: ${this.reason}. Shown is what the topics gave.`;
    else if (far) text = "The marked moment is more than 30 days ago and cannot be shown.";
    setText(this.note, text);
    setAttr(this.note, "data-s", this.reason ? "warn" : "");
    setHidden(this.note.parentNode ?? this.note, text === "");
    setHidden(this.again, !this.reason || this.asking !== null);
  }

  /** Called on every frame with the row as it is now. */
  update(row, now) {
    this.live.add(row.event, row.rate8, row.z);
    if (this.settled(row, now) || (performance.now() >= this.nextAsk && !this.asking)) this.ask();
    if (Math.abs(now - this.drawnAt) > REDRAW_MS) this.draw(row, now);
    else if (!this.chart.live(row.event, row.rate8)) this.draw(row, now);
    this.histogram.live(row.rate8, row.percentile);
  }

  /** A settlement has happened since the last answer: it is asked for once, when it has had time to arrive. */
  settled(row, now) {
    if (row.next !== this.seenNext) {
      this.dueAt = this.seenNext && row.next > this.seenNext ? now + AFTER_SETTLEMENT_MS : null;
      this.seenNext = row.next;
    }
    if (!this.dueAt || now < this.dueAt) return false;
    this.dueAt = null;
    return true;
  }

  draw(row, now) {
    this.width = this.chartBox.clientWidth;
    if (this.width === 0) return;
    this.drawnAt = now;
    const width = Math.max(280, this.width);
    const height = innerWidth <= 720 ? 250 : Math.max(260, Math.min(430, innerHeight - 470));
    this.chart.draw({ ...this.model(row, now), width, height });
    this.drawDistribution(row, width);
  }

  model(row, now) {
    const asked = now - Number(this.days) * DAY;
    const past = this.past ?? emptyHistory(asked, now);
    const from = this.begin(past, asked, now);
    const inside = (one) => one.at >= from && one.at <= now;
    const gaps = gapsWithin(past.gaps, from, now, row.id);
    const points = joined(past, this.live).filter(inside);
    const settlements = past.settlements.filter(inside);
    const rated = row.samples >= LEAST_RATED && row.mean !== null && row.std !== null;
    const baseline = rated ? { mean: row.mean, std: row.std } : null;
    const bars = this.bars ? past.bars.filter((bar) => bar.at + HOUR > from && bar.at <= now) : [];
    const known = this.past !== null && !this.reason && !this.isShorter(now);
    const words = { row, baseline, settlements, gaps, points, known };
    return {
      from,
      to: now,
      points: broken(
        points,
        gaps.filter((gap) => gap.own),
        now,
      ),
      bars,
      settlements,
      gaps,
      baseline,
      now: { at: row.event, value: row.rate8 },
      mark: this.mark,
      label: `8-hour rate of ${row.id}, last ${RANGES.find(([value]) => value === this.days)[1]}; arrow keys read it`,
      rest: rest(words),
      summary: summary(words),
    };
  }

  /** The range that was asked for; without history only what is known, so that it can be seen. */
  begin(past, asked, now) {
    if (!this.reason) return asked;
    const known = [past.estimates[0], past.settlements[0], past.bars[0], this.live.points[0]];
    const first = Math.min(now - LEAST_SPAN_MS, ...known.flatMap((one) => (one ? [one.at] : [])));
    this.shownFrom = Math.max(asked, first);
    return this.shownFrom;
  }

  drawDistribution(row, width) {
    const distribution = this.past?.distribution ?? null;
    const shown = distribution !== null && distribution.samples > 0;
    setHidden(this.histogramBox, !shown);
    setHidden(this.histogramNone, shown);
    if (shown) {
      setText(this.histogramTitle, `Settlements of 30 days, ${format.count(distribution.samples)}, as 8-hour rate`);
      this.histogram.draw(distribution, row.mean, row.rate8, { width, height: 130 });
      return;
    }
    const few = `Not drawn: ${row.samples} settlements, ${LEAST_RATED} are needed.`;
    const why = this.reason ? "Not known: history is not available." : this.past === null ? "Loading …" : few;
    setText(this.histogramNone, why);
  }

  destroy() {
    this.asking?.abort();
    this.watch.disconnect();
  }
}

/** The contract's own gaps, and of its feed's connections one for each event. */
function gapsWithin(gaps, from, now, id) {
  const inside = gaps.filter((gap) => gap.from < now && (gap.to ?? now) > from);
  const own = inside.filter((gap) => gap.subject === id);
  const others = together(inside.filter((gap) => gap.subject !== id)).map(([gap]) => gap);
  return [...own.map((gap) => ({ ...gap, own: true })), ...others.map((gap) => ({ ...gap, own: false }))];
}
