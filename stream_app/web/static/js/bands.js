// Six counts by z under the tools; each is a filter, as wide as the root of its count.

import { el, setAttr, setStyle, setText } from "./dom.js";
import { BANDS, bandOf, listParam, predicate } from "./filters.js";
import { count } from "./format.js";
import { setParams } from "./router.js";
import { store } from "./store.js";

/** {root, renew()}: renew counts again; the counts ignore the band filter itself. */
export function bandsBar(changed) {
  const buttons = BANDS.map(([key, label]) =>
    el("button", { type: "button", class: `band ${key}`, onclick: () => pick(key) }, el("b", {}, "0"), el("span", {}, label)),
  );
  function pick(key) {
    const on = new Set(listParam("band"));
    if (!on.delete(key)) on.add(key);
    setParams({ band: [...on].join(",") });
    changed();
  }
  function renew() {
    const keep = predicate(undefined, { ignoreBand: true });
    const on = new Set(listParam("band"));
    const counts = Object.fromEntries(BANDS.map(([key]) => [key, 0]));
    for (const row of store.contracts) if (keep(row)) counts[bandOf(row)] += 1;
    BANDS.forEach(([key], i) => {
      setText(buttons[i].firstChild, count(store.status === null ? null : counts[key]));
      setStyle(buttons[i], { "flex-grow": Math.sqrt(counts[key] + 4).toFixed(2) });
      setAttr(buttons[i], "aria-pressed", String(on.has(key)));
    });
  }
  return { root: el("div", { class: "bands", role: "group", "aria-label": "Contracts by band of z" }, buttons), renew };
}
