// The columns of the contracts table: what each shows, how it sorts, where it stands on the phone.

import * as cells from "./cells.js";
import { el } from "./dom.js";
import { CONFIDENCE } from "./filters.js";
import * as format from "./format.js";
import { store } from "./store.js";

const SOON_MS = 600_000;
const phone = matchMedia("(max-width: 720px)");
const size = (value) => (value === null ? null : Math.abs(value));
const ageOf = (row) => (store.now() - row.event) / 1000;

export const isStale = (row) => row.removed || store.now() - row.event > row.staleAfter * 1000;
export const rowClass = (row) => (isStale(row) ? "stale" : "");

const TITLES = {
  rate: "Running estimate for the next settlement, per interval",
  hours: "Hours between settlements; ? where they are assumed or doubtful",
  rate8: "The rate as if it were paid every 8 hours",
  apr: "rate × 8760 / interval, not compounded",
  z:
    "8-hour rate against the settlements of 30 days, in standard deviations; sorted by size. " +
    "The bar is a root scale to 10 σ, its ticks are ±2 σ",
  robust: "The same by median and median absolute deviation; sorted by size",
  pctl: "Share of the settlements of 30 days at or below the present rate, in percent",
  conf: "How many settlements stand behind z",
  spark: "48 closed hours of the 8-hour rate; the line is zero",
  mark: "Mark price",
  turnover: "What was traded in 24 hours, in the quote asset",
  interest: "The value of all open positions of one side, in the quote asset",
  next: "Time to the next settlement",
  age: "Since the exchange's time of the value",
  src: "Whether the exchange's stream or its REST interface brought it",
};

/** `unit()` is the unit that the reader chose for the rate. */
export function columns(unit) {
  return [...naming(unit), ...scoring(), ...standing()].map((column) => ({ title: TITLES[column.key], ...column }));
}

function naming(unit) {
  return [
    {
      key: "star",
      label: el("span", { class: "sr" }, "Starred"),
      width: "20px",
      phone: "star",
      cls: "of",
      ...cells.star,
    },
    {
      key: "id",
      label: "Contract",
      width: "minmax(190px,1.7fr)",
      phone: "a",
      cls: "name",
      rising: true,
      sort: (r) => r.symbol,
      ...cells.name,
    },
    {
      key: "rate",
      label: "Rate, %",
      width: "minmax(84px,.7fr)",
      head: "beside-mark",
      phone: "b",
      right: true,
      sort: (r) => (unit() === "apr" ? r.apr : r.rate),
      ...cells.rate(unit),
    },
    { key: "hours", label: "Every", width: "48px", right: true, cls: "dim", sort: (r) => r.hours, ...cells.interval },
    {
      key: "rate8",
      label: "8 h, %",
      width: "minmax(70px,.6fr)",
      right: true,
      sort: (r) => r.rate8,
      text: (r) => format.pct(r.rate8),
    },
    {
      key: "apr",
      label: "APR, %",
      width: "minmax(66px,.6fr)",
      phone: "f",
      right: true,
      sort: (r) => r.apr,
      text: (r) => (phone.matches ? `${format.pct(r.apr, 1)} % a year` : format.pct(r.apr, 1)),
    },
  ];
}

function scoring() {
  return [
    {
      key: "z",
      label: "z",
      head: "over-number",
      width: "minmax(126px,.9fr)",
      phone: "c",
      cls: "zc",
      sort: (r) => size(r.z),
      ...cells.zScore,
    },
    {
      key: "robust",
      label: "Robust z",
      width: "62px",
      right: true,
      sort: (r) => size(r.robust),
      text: (r) => format.z(r.robust),
    },
    {
      key: "pctl",
      label: "Pctl",
      width: "44px",
      right: true,
      sort: (r) => r.percentile,
      text: (r) => format.percentile(r.percentile),
    },
    {
      key: "conf",
      label: "Conf.",
      width: "36px",
      sort: (r) => CONFIDENCE.indexOf(r.confidence) * 1e6 + r.samples,
      ...cells.confidence,
    },
    { key: "spark", label: "48 h", width: "minmax(84px,1fr)", cls: "of", ...cells.sparkline },
  ];
}

function standing() {
  return [
    {
      key: "mark",
      label: "Mark",
      width: "minmax(80px,.7fr)",
      right: true,
      sort: (r) => r.mark,
      text: (r) => format.price(r.mark),
    },
    {
      key: "turnover",
      label: "Turnover",
      width: "62px",
      right: true,
      sort: (r) => r.turnover,
      text: (r) => format.amount(r.turnover),
    },
    {
      key: "interest",
      label: "Open int.",
      width: "54px",
      right: true,
      sort: (r) => r.interest,
      text: (r) => format.amount(r.interest),
    },
    {
      key: "next",
      label: "Next",
      width: "62px",
      phone: "e",
      right: true,
      rising: true,
      sort: (r) => r.next,
      text: (r) => format.until(r.next, store.now()),
      tone: (r) => (r.next !== null && r.next - store.now() < SOON_MS ? "soon" : ""),
    },
    {
      key: "age",
      label: "Age",
      width: "52px",
      cls: "age",
      right: true,
      sort: (r) => -r.event,
      text: (r) => format.age(ageOf(r)),
    },
    {
      key: "src",
      label: "Source",
      width: "46px",
      sort: (r) => r.transport,
      text: (r) => (r.removed ? "gone" : r.transport === "rest" ? "REST" : "stream"),
      tone: (r) => `src ${r.transport}`,
    },
    {
      key: "venue",
      label: "",
      phone: "d",
      text: (r) => {
        const every = format.hours(r.hours) + (r.intervalUnsure ? "?" : "");
        return `${r.feed} · ${every} · ${format.age(ageOf(r))}${r.transport === "rest" ? " · REST" : ""}`;
      },
    },
  ];
}
