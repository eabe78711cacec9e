// How often which rate was settled in the baseline's window, and where the present one stands in it.

import { linear } from "./chart.js";
import { el, setAttr, setText, svg } from "./dom.js";
import { pct, percentile as percentileText } from "./format.js";

const TOP = 16;

/** draw({low, high, counts, samples}, mean, size), then live(rate8, percentile) on every frame. */
export class Histogram {
  constructor() {
    this.drawing = svg("svg", { class: "chart", role: "img" });
    this.root = el("figure", { class: "figure" }, this.drawing);
  }

  draw(distribution, mean, present, size) {
    const { width, height } = size;
    const { low, high, counts } = distribution;
    Object.assign(this, { distribution, size, mean, bottom: height - 20 });
    const ends = [low, high, present, mean].filter(Number.isFinite);
    this.from = Math.min(...ends);
    this.to = Math.max(...ends);
    if (this.from === this.to) {
      this.from -= Math.abs(this.from) * 0.1 || 1e-5;
      this.to += Math.abs(this.to) * 0.1 || 1e-5;
    }
    this.x = linear(this.from, this.to, 0, width);
    this.drawing.setAttribute("width", width);
    this.drawing.setAttribute("height", height);
    this.bins = this.columns(low, high, counts);
    this.line = svg("line", { class: "present", y1: 4, y2: this.bottom });
    this.words = svg("text", { class: "strong", y: 12 });
    this.drawing.replaceChildren(
      ...this.bins,
      svg("line", { class: "zero", x1: 0, x2: width, y1: this.bottom, y2: this.bottom }),
      ...this.meanMarks(mean, width, height),
      this.line,
      this.words,
      svg("text", { x: 0, y: height - 5 }, `${pct(this.from, 4)} %`),
      svg("text", { class: "end", x: width, y: height - 5 }, `${pct(this.to, 4)} %`),
    );
  }

  columns(low, high, counts) {
    const most = Math.max(1, ...counts);
    const wide = (high - low) / counts.length;
    return counts.map((count, i) => {
      const left = high > low ? this.x(low + i * wide) : this.x(low) - 4;
      const right = high > low ? this.x(low + (i + 1) * wide) : this.x(low) + 4;
      const tall = (count / most) * (this.bottom - TOP);
      return svg("rect", {
        class: "bin",
        x: (left + 0.5).toFixed(1),
        width: Math.max(1, right - left - 1).toFixed(1),
        y: (this.bottom - tall).toFixed(1),
        height: tall.toFixed(1),
      });
    });
  }

  meanMarks(mean, width, height) {
    if (!Number.isFinite(mean)) return [];
    const x = this.x(mean);
    const named = x > 70 && x < width - 70;
    return [
      svg("line", { class: "mean", x1: x, x2: x, y1: TOP, y2: this.bottom }),
      ...(named ? [svg("text", { class: "mid", x, y: height - 5 }, "mean")] : []),
    ];
  }

  /** Move the present; a rate beyond the drawn range needs a new drawing. */
  live(rate8, percentile) {
    if (!this.distribution || !Number.isFinite(rate8)) return;
    if (rate8 < this.from || rate8 > this.to) this.draw(this.distribution, this.mean, rate8, this.size);
    const { low, high, counts, samples } = this.distribution;
    const here = this.x(rate8);
    const end = here > this.size.width * 0.6;
    setAttr(this.line, "x1", here.toFixed(1));
    setAttr(this.line, "x2", here.toFixed(1));
    setAttr(this.words, "x", (here + (end ? -6 : 6)).toFixed(1));
    setAttr(this.words, "class", end ? "strong end" : "strong");
    setText(this.words, percentile === null ? "now" : `now, at or above ${percentileText(percentile)} %`);
    const at = high > low ? Math.floor(((rate8 - low) / (high - low)) * counts.length) : 0;
    const bin = rate8 >= low && rate8 <= high ? Math.min(counts.length - 1, at) : -1;
    this.bins.forEach((node, i) => setAttr(node, "class", i === bin ? "bin here" : "bin"));
    const place = percentile === null ? "" : `; the present rate is at percentile ${percentileText(percentile)}`;
    setAttr(this.drawing, "aria-label", `Distribution of ${samples} settlements${place}`);
  }
}
