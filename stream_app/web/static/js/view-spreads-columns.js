// The columns of the table of spreads: both legs with their intervals, the gap, what it paid.

import { el, setAttr, setClass, setHidden, setText } from "./dom.js";
import * as format from "./format.js";
import { gapOf, leastTurnover, legStale, olderAge, paidOf, priceChecked, yearly } from "./spread-pairs.js";
import { store } from "./store.js";

const phone = matchMedia("(max-width: 720px)");
const SIGN_WINDOW_DAYS = 30;
const UNCHECKED = "Prices were not compared: these may be two assets of one name";

/** A leg's feed, its rate per interval, and the interval; a leg that is stale is marked by sign, word and colour. */
function leg(key, label) {
  return {
    key,
    label,
    width: "minmax(202px,1.3fr)",
    cls: "leg-cell",
    sort: (pair) => pair[key].rate8,
    build: (cell) =>
      cell.append(el("span", { class: "venue" }), el("span", { class: "num" }), el("span", { class: "dim" })),
    paint: (cell, pair) => {
      const row = pair[key];
      const stale = legStale(row, store.now());
      const [feed, rate, hours] = cell.children;
      setText(feed, stale ? `◐ ${row.feed}` : row.feed);
      setText(rate, format.pct(row.rate));
      setText(hours, `/ ${format.hours(row.hours)}`);
      setClass(cell, stale ? "leg-cell stale-leg" : "leg-cell");
      setAttr(cell, "title", stale ? `${row.id}: stale, older than ${row.staleAfter} s` : row.id);
    },
  };
}

/** What was paid, from the server; unknown for another pair than the server's, or where history is not known. */
function paid(key, label, which, decimals, more) {
  const value = (pair) => paidOf(pair)?.[which] ?? null;
  return {
    key,
    label,
    title: "Settled rates of the short leg less those of the long leg, % of the notional",
    right: true,
    sort: value,
    text: (pair) => {
      const known = value(pair);
      return known === null ? format.DASH : `${format.pct(known, decimals)}${phone.matches ? " %" : ""}`;
    },
    tone: (pair) => {
      const known = value(pair);
      if (known === null) return "dim";
      return known < 0 ? "neg" : "";
    },
    ...more,
  };
}

const signDays = (pair) => paidOf(pair)?.signDays ?? null;

export function columns() {
  const older = (pair) => olderAge(pair, store.now());
  return [
    {
      key: "base",
      label: "Base",
      width: "minmax(62px,.6fr)",
      phone: "a",
      cls: "w2",
      sort: (pair) => pair.base,
      build: (cell) => cell.append(el("span"), el("span", { class: "unsure", title: UNCHECKED, hidden: true }, "?")),
      paint: (cell, pair) => {
        const [name, mark] = cell.children;
        setText(name, pair.base);
        setHidden(mark, priceChecked(pair));
      },
    },
    {
      key: "gap",
      label: "Gap, APR %",
      title: "Difference of the two 8-hour rates, a year",
      width: "80px",
      phone: "c",
      right: true,
      cls: "w2",
      sort: gapOf,
      text: (pair) => `${format.pct(yearly(gapOf(pair)), 1)}${phone.matches ? " %/y" : ""}`,
    },
    {
      key: "gap8",
      label: "8 h, bps",
      title: "Difference of the two 8-hour rates",
      width: "58px",
      right: true,
      sort: gapOf,
      text: (pair) => format.signed(gapOf(pair) * 1e4, 2),
    },
    leg("short", "Short leg: feed, rate %, interval"),
    leg("long", "Long leg: feed, rate %, interval"),
    paid("paid7", "Paid 7 d, %", "week", 3, { width: "74px", phone: "b" }),
    paid("paid30", "30 d, %", "month", 2, { width: "66px" }),
    {
      key: "sign",
      label: "Same sign",
      title: "Days since what a day paid last changed its sign",
      width: "70px",
      phone: "f",
      right: true,
      sort: signDays,
      text: (pair) => {
        const days = signDays(pair);
        if (days === null) return format.DASH;
        return days >= SIGN_WINDOW_DAYS ? `≥ ${SIGN_WINDOW_DAYS} d` : `${Math.floor(days)} d`;
      },
    },
    {
      key: "older",
      label: "Older leg",
      title: "Age of the older of the two rates",
      width: "66px",
      right: true,
      sort: older,
      text: (pair) => format.age(older(pair)),
      tone: (pair) => (legStale(pair.short, store.now()) || legStale(pair.long, store.now()) ? "bad w2" : ""),
    },
    {
      key: "turnover",
      label: "Turnover",
      title: "What was traded in 24 hours of the leg that trades less, in its quote asset",
      width: "62px",
      right: true,
      sort: leastTurnover,
      text: (pair) => format.amount(leastTurnover(pair)),
    },
    { key: "span", label: "", phone: "e", right: true, text: () => "in 7 d" },
    { key: "legs", label: "", phone: "d", text: (pair) => `${pair.short.feed} − ${pair.long.feed}` },
  ];
}

/** Orders that the phone offers in a select, which has no headings. */
export const PHONE_ORDERS = [
  ["gap", "by gap"],
  ["paid7", "by paid 7 d"],
  ["paid30", "by paid 30 d"],
  ["sign", "by same sign"],
  ["turnover", "by turnover"],
  ["base", "by base"],
];

/** Sort by a column; what is not known comes last in both directions, equal values by base. */
export function sorted(list, column, descending) {
  const value = column.sort;
  const known = (x) => x !== null && x !== undefined && !Number.isNaN(x);
  return [...list].sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    if (known(a) !== known(b)) return known(a) ? -1 : 1;
    if (known(a) && a !== b) return (a < b ? -1 : 1) * (descending ? -1 : 1);
    return one.base < other.base ? -1 : 1;
  });
}
