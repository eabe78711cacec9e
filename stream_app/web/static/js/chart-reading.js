// What a chart says at a place: read by the pointer, and by the arrow keys when the chart has the focus.

import { nearest } from "./chart.js";
import { el, setAttr, setText, svg } from "./dom.js";
import { clock, pct, signed, stamp } from "./format.js";

const HOUR = 3_600_000;
const STRIDES = { ArrowLeft: -1, ArrowRight: 1, PageDown: -20, PageUp: 20 };

export class ChartReading {
  constructor(drawing) {
    this.drawing = drawing;
    this.line = el("p", { class: "reading lab" });
    this.cursor = svg("g", { class: "cursor", visibility: "hidden" }, svg("line"), svg("circle", { r: 3.5 }));
    this.at = null; // the moment that is read, ms; kept over redraws
    this.entries = [];
    setAttr(drawing, "role", "slider");
    setAttr(drawing, "aria-orientation", "horizontal");
    drawing.addEventListener("pointermove", (event) => this.point(event));
    drawing.addEventListener("pointerdown", (event) => this.point(event));
    drawing.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && this.leave());
    drawing.addEventListener("keydown", (event) => this.key(event));
    drawing.addEventListener("blur", () => this.leave());
  }

  /** Take over a newly drawn model; what was being read stays read. */
  show(model, scales) {
    this.model = model;
    this.scales = scales;
    this.entries = model.points.filter((point) => point !== null);
    if (this.entries.length === 0) this.entries = model.settlements;
    setAttr(this.drawing, "aria-label", model.label);
    setAttr(this.drawing, "aria-valuemin", "0");
    setAttr(this.drawing, "aria-valuemax", String(Math.max(0, this.entries.length - 1)));
    this.paint();
  }

  point(event) {
    if (!this.model || this.entries.length === 0) return;
    const box = this.drawing.getBoundingClientRect();
    this.at = this.entries[nearest(this.entries, this.scales.x.invert(event.clientX - box.left))].at;
    this.paint();
  }

  leave() {
    if (document.activeElement === this.drawing && this.drawing.matches(":focus-visible")) return;
    this.at = null;
    this.paint();
  }

  key(event) {
    const last = this.entries.length - 1;
    if (last < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const here = this.at === null ? last : nearest(this.entries, this.at);
    let next = null;
    if (event.key === "Home") next = 0;
    else if (event.key === "End") next = last;
    else if (event.key in STRIDES) next = here + STRIDES[event.key] * (event.shiftKey ? 10 : 1);
    else if (event.key === "Escape" && this.at !== null) next = null;
    else return;
    event.preventDefault();
    event.stopPropagation(); // the page's own arrow keys move rows
    this.at = next === null ? null : this.entries[Math.max(0, Math.min(last, next))].at;
    this.paint();
  }

  paint() {
    const { model, scales } = this;
    if (!model) return;
    const index = this.at === null ? -1 : nearest(this.entries, this.at);
    if (index < 0) {
      this.cursor.setAttribute("visibility", "hidden");
      setText(this.line, model.rest);
      setAttr(this.drawing, "aria-valuenow", String(Math.max(0, this.entries.length - 1)));
      setAttr(this.drawing, "aria-valuetext", model.rest);
      return;
    }
    const point = this.entries[index];
    const [line, dot] = this.cursor.children;
    const x = scales.x(point.at).toFixed(1);
    for (const [name, value] of Object.entries({ x1: x, x2: x, y1: 10, y2: scales.bottom })) {
      line.setAttribute(name, value);
    }
    dot.setAttribute("cx", x);
    dot.setAttribute("cy", scales.y(point.value).toFixed(1));
    this.cursor.setAttribute("visibility", "visible");
    const text = sentence(point, model);
    setText(this.line, text);
    setAttr(this.drawing, "aria-valuenow", String(index));
    setAttr(this.drawing, "aria-valuetext", text);
  }
}

/** One point in words; z is the one of that moment where it is known, else against the present baseline. */
function sentence(point, model) {
  const parts = [`${stamp(point.at)} UTC`, `8 h rate ${pct(point.value, 5)} %`];
  if (Number.isFinite(point.z)) parts.push(`z ${signed(point.z, 2)}`);
  else if (model.baseline?.std > 0) {
    parts.push(`z ${signed((point.value - model.baseline.mean) / model.baseline.std, 2)} against the present baseline`);
  }
  const near = nearest(model.settlements, point.at);
  const settled = model.settlements[near];
  if (settled && Math.abs(settled.at - point.at) <= (model.to - model.from) / 250) {
    parts.push(`settled ${pct(settled.rate, 5)} % at ${clock(settled.at, false)}${settled.special ? ", special" : ""}`);
  }
  const bar = model.bars.find((one) => point.at >= one.at && point.at < one.at + HOUR);
  if (bar) parts.push(`hour ${pct(bar.low, 4)} … ${pct(bar.high, 4)} %`);
  return parts.join("   ");
}
