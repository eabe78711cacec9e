// The row of tools over the contracts table; each control writes the address and then calls `changed`.

import { el, segments, setAttr, setText } from "./dom.js";
import { CONFIDENCE, FILTERS, menu, searchBox } from "./filters.js";
import * as format from "./format.js";
import { param, setParams } from "./router.js";
import { store } from "./store.js";

const SORTS = [
  ["z", "by |z|"],
  ["rate8", "by 8 h rate"],
  ["apr", "by APR"],
  ["turnover", "by turnover"],
  ["next", "by next funding"],
  ["age", "by age"],
  ["id", "by name"],
];

/**
 * {root, unit(), show(), renew(), clear(), setCounts(shown, held), nextUnit()}; `show` follows the address, `renew` the
 * set of contracts.
 */
export function contractsTools({ changed, unitChanged, csv }) {
  const shown = el("span", { class: "lab", "aria-live": "polite" });
  const held = el("span", { class: "lab held hide-s" });
  const search = searchBox("Contract, base or feed", changed);
  const starred = el("button", { class: "btn", type: "button", onclick: toggleStarred }, "★ Starred");
  const least = leastZ(changed);
  const sort = sortBox(changed);
  const menus = filterMenus(changed);
  const units = segments("Unit of the rate", format.UNITS, unit(), (value) => {
    setParams({ unit: value === "pct" ? null : value });
    unitChanged();
  });
  const root = el(
    "div",
    { class: "tools", role: "group", "aria-label": "Search, filters and unit" },
    [search, sort, starred, menus, least],
    el("span", { class: "grow hide-s" }),
    [held, shown, units],
    el("button", { class: "btn quiet hide-s", type: "button", onclick: csv, title: "Download what is shown" }, "CSV"),
  );

  function unit() {
    const chosen = param("unit", "pct");
    return format.UNITS.some(([key]) => key === chosen) ? chosen : "pct";
  }
  function toggleStarred() {
    setParams({ star: param("star") === "1" ? null : "1" });
    changed();
  }
  function show() {
    setAttr(starred, "aria-pressed", String(param("star") === "1"));
    for (const each of menus) each.show();
    units.show(unit());
  }
  function clear() {
    setParams(Object.fromEntries(FILTERS.map((key) => [key, null])));
    for (const each of [search, least, ...menus]) each.show();
    changed();
  }
  function setCounts(number, isHeld) {
    const all = store.contracts.length;
    if (store.status === null) return setText(shown, "");
    setText(
      shown,
      number === all ? `${format.count(all)} contracts` : `${format.count(number)} of ${format.count(all)}`,
    );
    setText(held, isHeld ? "order held" : "");
  }
  const nextUnit = () => units.choose(format.UNITS[(format.UNITS.findIndex(([key]) => key === unit()) + 1) % 3][0]);
  const renew = () => menus.forEach((each) => each.open || each.renew());
  return { root, unit, show, renew, clear, setCounts, nextUnit };
}

/** A field for the smallest |z|. */
function leastZ(changed) {
  const input = el("input", {
    type: "number",
    min: "0",
    max: "99",
    step: "0.5",
    placeholder: "any",
    "aria-label": "Smallest size of z",
    oninput: () => {
      setParams({ min: Number(input.value) > 0 ? input.value : null });
      changed();
    },
  });
  const show = () => {
    input.value = param("min");
  };
  show();
  return Object.assign(el("label", { class: "least" }, "|z| ≥", input), { show });
}

/** The phone has no table head to click. */
function sortBox(changed) {
  const box = el(
    "select",
    {
      class: "only-s",
      "aria-label": "Order by",
      onchange: () => {
        setParams({ sort: box.value === "z" ? null : box.value, dir: null });
        changed();
      },
    },
    SORTS.map(([key, text]) => el("option", { value: key, selected: key === param("sort", "z") }, text)),
  );
  return box;
}

function filterMenus(changed) {
  const tally = (value) => {
    const counts = new Map();
    for (const row of store.contracts) counts.set(value(row), (counts.get(value(row)) ?? 0) + 1);
    counts.delete(""); // a quote asset that is not known yet
    return counts;
  };
  const byName = (value) => () =>
    [...tally(value)].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, n]) => [key, key, n]);
  const byHours = () =>
    [...tally((row) => row.hours)].sort(([a], [b]) => a - b).map(([h, n]) => [String(h), format.hours(h), n]);
  const byConfidence = () => {
    const counts = tally((row) => row.confidence);
    return CONFIDENCE.map((key) => [key, key.replace("_", " "), counts.get(key) ?? 0]);
  };
  return [
    menu(
      "Feed",
      "feed",
      byName((row) => row.feed),
      changed,
    ),
    menu("Interval", "h", byHours, changed),
    menu("Confidence", "conf", byConfidence, changed),
    menu(
      "Quote",
      "quote",
      byName((row) => row.quote),
      changed,
    ),
  ];
}
