// The seven numbers at the top of a contract's page, live on every frame.

import { el, setAttr, setClass, setText } from "./dom.js";
import * as format from "./format.js";

const SOON_S = 600;
const TILES = [
  ["rate", "Rate", " %", "per interval, as the exchange says it"],
  ["apr", "APR", " %", "per year, not compounded"],
  ["z", "z", " σ", "standard deviations from the mean of the last 30 days' settlements"],
  ["robust", "Robust z", "", "from the median, by the median absolute deviation"],
  ["percentile", "Percentile", "", "share of the settlements at or below the present rate"],
  ["next", "Next settlement", "", "hours, minutes, seconds"],
  ["age", "Age", "", "since the exchange's time of this value"],
];

export class Tiles {
  constructor() {
    this.big = {};
    this.root = el(
      "div",
      { class: "tiles", role: "group", "aria-label": "Present values" },
      TILES.map((t) => this.tile(t)),
    );
  }

  tile([key, name, unit, title]) {
    this.big[key] = el("b");
    return el(
      "div",
      { class: key === "robust" ? "tile hide-s" : "tile", title },
      el("span", { class: "lab" }, name),
      el("span", {}, this.big[key], unit ? el("small", {}, unit) : null),
    );
  }

  paint(row, now) {
    const { big } = this;
    const wait = row.next === null ? null : (row.next - now) / 1000;
    const old = (now - row.event) / 1000;
    const stale = row.staleAfter > 0 && old > row.staleAfter;
    setText(big.rate, format.pct(row.rate, 5));
    setText(big.apr, format.pct(row.apr, 1));
    setText(big.z, format.z(row.z));
    setClass(big.z, format.tone(row.z));
    setText(big.robust, format.z(row.robust));
    setText(big.percentile, format.percentile(row.percentile));
    setText(big.next, format.until(row.next, now));
    setClass(big.next, wait !== null && wait < SOON_S ? "w3" : "");
    setText(big.age, format.age(old));
    setClass(big.age, stale ? "bad w2" : "");
    setAttr(this.root, "data-stale", String(stale));
  }
}
