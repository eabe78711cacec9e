// The estimate over time within its baseline's band, with settlements, hourly bars, gaps and a marked moment.

import { decimalsOf, hatch, linear, linePath, lonely, moments, steps, uniqueId } from "./chart.js";
import { crosses } from "./chart-past.js";
import { ChartReading } from "./chart-reading.js";
import { el, svg } from "./dom.js";
import { clock, day, pct, signed, stamp } from "./format.js";
import { causeWords, outcome } from "./gap-words.js";

const PAD = { left: 62, right: 44, top: 10, bottom: 22 };
const SIGMAS = [3, 2, 1, 0, -1, -2, -3];
const HOUR = 3_600_000;

/**
 * draw({width, height, from, to, points, bars, settlements, gaps, baseline, now, mark, summary}): all times in ms, all
 * values 8-hour rates as fractions; points may hold null (the line breaks); baseline is {mean, std} or null.
 */
export class EstimateChart {
  constructor() {
    this.hatchId = uniqueId("hatch");
    this.describedBy = uniqueId("chart-words");
    this.words = el("p", { class: "sr", id: this.describedBy });
    this.drawing = svg("svg", { class: "chart estimate-chart", tabindex: "0", "aria-describedby": this.describedBy });
    this.reading = new ChartReading(this.drawing);
    this.root = el("figure", { class: "figure" }, this.reading.line, this.drawing, this.words);
  }

  draw(model) {
    this.model = model;
    this.scales(model);
    const { width, height } = model;
    this.drawing.setAttribute("width", width);
    this.drawing.setAttribute("height", height);
    this.drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.tail = svg("path", { class: "estimate" });
    this.dot = svg("circle", { class: "now", r: 4.5, visibility: "hidden" });
    this.drawing.replaceChildren(
      svg("defs", {}, hatch(this.hatchId)),
      ...this.bands(),
      ...this.valueAxis(),
      ...model.gaps.map((gap) => this.gap(gap)),
      ...this.timeAxis(),
      ...this.barMarks(),
      ...this.meanLine(),
      svg("path", { class: "estimate", d: linePath(model.points, this.x, this.y) }),
      ...lonely(model.points).map((p) =>
        svg("circle", { class: "alone", cx: this.x(p.at), cy: this.y(p.value), r: 1.2 }),
      ),
      this.tail,
      ...model.settlements.map((settlement) => this.settlement(settlement)),
      ...this.marked(),
      this.dot,
      this.reading.cursor,
    );
    this.words.textContent = model.summary;
    this.reading.show(model, this);
    if (model.now) this.live(model.now.at, model.now.value);
  }

  /** Move the present to its own time, which is not now where it is old; false when it has left the drawn range. */
  live(at, value) {
    const { low, high, model } = this;
    if (!model || !Number.isFinite(value) || at < model.from) return true;
    if (value < low || value > high) return false;
    const x = Math.min(this.right, this.x(at));
    this.dot.setAttribute("cx", x.toFixed(1));
    this.dot.setAttribute("cy", this.y(value).toFixed(1));
    this.dot.setAttribute("visibility", "visible");
    const last = model.points.at(-1);
    if (last && at > last.at && !model.gaps.some((gap) => gap.own && crosses(gap, last.at, at, model.to))) {
      this.tail.setAttribute("d", linePath([last, { at: Math.min(at, model.to), value }], this.x, this.y));
    }
    return true;
  }

  scales({ width, height, from, to, points, bars, settlements, baseline, now }) {
    const values = points.flatMap((point) => (point === null ? [] : [point.value]));
    for (const settlement of settlements) values.push(settlement.value);
    for (const bar of bars) values.push(bar.low, bar.high);
    if (now) values.push(now.value);
    if (baseline) values.push(baseline.mean + 3.3 * baseline.std, baseline.mean - 3.3 * baseline.std);
    const known = values.filter(Number.isFinite);
    const least = known.length > 0 ? known.reduce((a, b) => Math.min(a, b)) : -0.0001;
    const most = known.length > 0 ? known.reduce((a, b) => Math.max(a, b)) : 0.0001;
    const room = (most - least) * 0.03 || Math.abs(most) * 0.1 || 1e-6;
    this.low = least - room;
    this.high = most + room;
    this.right = width - PAD.right;
    this.bottom = height - PAD.bottom;
    this.x = linear(from, to, PAD.left, this.right);
    this.y = linear(this.low, this.high, this.bottom, PAD.top);
  }

  bands() {
    const { baseline } = this.model;
    if (!baseline) return [];
    return [3, 2, 1].map((k) => {
      const top = this.y(baseline.mean + k * baseline.std);
      return svg("rect", {
        class: `band-${k}`,
        x: PAD.left,
        width: Math.max(0, this.right - PAD.left),
        y: top,
        height: Math.max(0, this.y(baseline.mean - k * baseline.std) - top),
      });
    });
  }

  meanLine() {
    const { baseline } = this.model;
    if (!baseline) return [];
    const y = this.y(baseline.mean);
    const apart = Math.abs(this.y(baseline.mean + baseline.std) - y);
    const named = SIGMAS.filter((k) => k === 0 || apart >= 13 || (apart * 3 >= 13 && Math.abs(k) === 3));
    return [
      svg("line", { class: "mean", x1: PAD.left, x2: this.right, y1: y, y2: y }),
      ...named.map((k) =>
        svg(
          "text",
          { x: this.right + 6, y: this.y(baseline.mean + k * baseline.std) + 4 },
          k === 0 ? "mean" : `${signed(k, 0)} σ`,
        ),
      ),
    ];
  }

  valueAxis() {
    const { step, values } = steps(this.low, this.high, Math.max(2, Math.min(6, (this.bottom - PAD.top) / 56)));
    const decimals = decimalsOf(step);
    return values.flatMap((value) => {
      const y = this.y(value);
      return [
        svg("line", { class: value === 0 ? "zero" : "grid", x1: PAD.left, x2: this.right, y1: y, y2: y }),
        svg("text", { class: "end", x: PAD.left - 8, y: y + 4 }, pct(value, decimals)),
      ];
    });
  }

  timeAxis() {
    const { from, to, height } = this.model;
    const { step, list } = moments(from, to, Math.max(2, (this.right - PAD.left) / 62));
    return list.flatMap(({ at, midnight }) => {
      const x = this.x(at);
      return [
        svg("line", { class: "tick", x1: x, x2: x, y1: this.bottom, y2: this.bottom + 4 }),
        svg("text", { class: "mid", x, y: height - 6 }, step >= 24 * HOUR || midnight ? day(at) : clock(at, false)),
      ];
    });
  }

  gap(gap) {
    const from = Math.max(gap.from, this.model.from);
    const to = Math.min(gap.to ?? this.model.to, this.model.to);
    const end = gap.to === null ? "now" : clock(gap.to);
    const cause = gap.cause ? `${causeWords(gap.cause)}, ` : "";
    const [done] = outcome([gap], this.model.to);
    return svg(
      "rect",
      {
        class: gap.own ? "gap" : "gap of-feed",
        x: this.x(from),
        width: Math.max(3, this.x(to) - this.x(from)),
        y: PAD.top,
        height: this.bottom - PAD.top,
        fill: `url(#${this.hatchId})`,
      },
      svg(
        "title",
        {},
        `${gap.own ? "Gap" : "Gap of a connection of the feed"}: ${cause}${stamp(gap.from)} – ${end}: ${done}`,
      ),
    );
  }

  /** High to low of each hour as one path, those that are not whole as another. */
  barMarks() {
    const { bars, from, to } = this.model;
    if (bars.length === 0) return [];
    const thick = Math.max(1, ((this.right - PAD.left) / (to - from)) * HOUR - 1.5);
    const path = (list) =>
      list
        .map((bar) => {
          const x = Math.min(this.right, Math.max(PAD.left, this.x(bar.at + HOUR / 2))).toFixed(1);
          const top = this.y(bar.high);
          return `M${x} ${top.toFixed(1)}V${Math.max(top + 1, this.y(bar.low)).toFixed(1)}`;
        })
        .join("");
    const whole = (bar) => bar.covered === null || bar.covered >= 3300;
    return [
      ["bars", bars.filter(whole)],
      ["bars part", bars.filter((bar) => !whole(bar))],
    ]
      .filter(([, list]) => list.length > 0)
      .map(([name, list]) => svg("path", { class: name, d: path(list), "stroke-width": thick.toFixed(1) }));
  }

  settlement(settlement) {
    const x = this.x(settlement.at);
    const y = this.y(settlement.value);
    const hours = settlement.hours === null ? "" : ` for ${settlement.hours} h`;
    const said = `${stamp(settlement.at)} settled ${pct(settlement.rate, 5)} %${hours}`;
    if (!settlement.special) {
      const many = this.model.settlements.length > 100;
      const place = { class: "dot", cx: x.toFixed(1), cy: y.toFixed(1), r: many ? 1.6 : 3 };
      return svg("circle", place, many ? null : svg("title", {}, said));
    }
    const reason = settlement.source ? `: special, ${settlement.source}` : ": special";
    return svg(
      "path",
      { class: "special", d: `M${x.toFixed(1)} ${(y - 6).toFixed(1)}l6 6l-6 6l-6 -6z` },
      svg("title", {}, said + reason),
    );
  }

  marked() {
    const { mark, from, to } = this.model;
    if (mark === null || mark < from || mark > to) return [];
    const x = this.x(mark);
    const end = x > this.right - 110;
    return [
      svg("line", { class: "marked", x1: x, x2: x, y1: PAD.top, y2: this.bottom }),
      svg("path", { class: "flag", d: `M${x.toFixed(1)} ${PAD.top}l5 -7h-10z` }),
      svg("text", { class: end ? "strong end" : "strong", x: x + (end ? -7 : 7), y: PAD.top + 10 }, `▸ ${clock(mark)}`),
    ];
  }
}

export const CHART_PAD = PAD;
