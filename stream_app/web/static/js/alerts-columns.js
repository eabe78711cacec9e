// The columns of the alerts table, and what an alert's value means for its kind.

import { el, setClass, setText } from "./dom.js";
import * as format from "./format.js";
import { contractUrl } from "./router.js";
import { store } from "./store.js";

const NEAR_MS = 0.9 * 86_400_000; // a day's chart still shows it

/** kind: [words, how its value and threshold are written]; one that is not listed is written as it is. */
const KINDS = {
  z_cross: ["z crossed", (value) => format.z(value)],
  sign_flip: ["sign flipped", (value) => (value === 0 ? "0" : `${format.pct(value)} %`)],
  feed_down: ["feed down", null],
  feed_recovered: ["feed back", null],
  mismatch: ["mismatch", share],
  dead_letters: ["dead letters", share],
  contract_cap: ["contract limit", format.count],
  z: ["z", (value) => format.z(value)],
  apr: ["APR", yearly],
  spread: ["spread", yearly],
  gap: ["gap", format.age],
  feed_state: ["feed state", null],
  digest: ["digest", null],
};
const phone = matchMedia("(max-width: 720px)");
const SEVERITIES = { critical: "◆ critical", warning: "◈ warning", info: "◇ info" };

function share(value) {
  return `${(value * 100).toFixed(0)} %`;
}

function yearly(value) {
  return `${format.pct(value, 1)} %`;
}

export const kindWords = (kind) => KINDS[kind]?.[0] ?? kind.replaceAll("_", " ");

function measured(kind, value) {
  if (value === null) return format.DASH;
  const write = KINDS[kind] === undefined ? (each) => String(each) : KINDS[kind][1];
  return write === null ? format.DASH : write(value).trim();
}

/** The sentence without the subject that it begins with: that has its own column. */
const sentence = ({ subject, message }) =>
  message.startsWith(`${subject}: `) ? message.slice(subject.length + 2) : message;

/** To the contract at that moment, to the spreads of a base, or to the feeds; null of a digest, which tells of several. */
export function momentUrl({ subject, kind, at }) {
  if (kind === "digest") return null;
  if (kind === "spread") return `#/spreads?q=${encodeURIComponent(subject)}`;
  if (!subject.includes(":")) return "#/feeds";
  return contractUrl(subject, { range: store.now() - at < NEAR_MS ? "1" : "2", at });
}

const moment = {
  build: (cell) => cell.append(el("a", { class: "link", tabindex: "-1", title: "Show this moment" })),
  paint(cell, row) {
    const link = cell.firstChild;
    setText(link, format.moment(row.at, store.now()));
    if (cell.row === row) return;
    cell.row = row;
    const url = momentUrl(row);
    if (url === null) link.removeAttribute("href");
    else link.setAttribute("href", url);
  },
};

const weight = ({ severity }) => (severity === "critical" ? "w2" : severity === "info" ? "dim" : "");
const ago = (row) => format.age((store.now() - row.at) / 1000);

const TOLD_TITLE = "Who was told: ✓ sent, … under way, ✗ failed, – held back by a rule, ? not known";
const told = {
  paint(cell, row) {
    setText(cell, row.told || format.DASH);
    setClass(cell, row.told ? "" : "dim");
    if (cell.title !== row.toldWhy) cell.title = row.toldWhy;
  },
};

/** Columns for the rows of alert-rows.js. */
export function columns() {
  return [
    { key: "at", label: "When, UTC", width: "92px", ...moment },
    { key: "ago", label: "Ago", width: "56px", phone: "f", right: true, text: ago, tone: () => "dim" },
    {
      key: "severity",
      label: "Severity",
      width: "78px",
      text: (a) => SEVERITIES[a.severity] ?? a.severity,
      tone: weight,
    },
    { key: "kind", label: "Kind", width: "92px", text: (a) => kindWords(a.kind) },
    {
      key: "subject",
      label: "Subject",
      width: "minmax(200px,1fr)",
      phone: "a",
      cls: "w2",
      text: (a) => (phone.matches ? `${SEVERITIES[a.severity]?.[0] ?? ""} ${a.subject}` : a.subject),
    },
    {
      key: "value",
      label: "Value",
      width: "84px",
      phone: "c",
      right: true,
      text: (a) => measured(a.kind, a.value),
      tone: (a) => (a.kind === "z_cross" || a.kind === "z" ? format.tone(a.value) : ""),
    },
    {
      key: "threshold",
      label: "Threshold",
      width: "70px",
      right: true,
      text: (a) => measured(a.kind, a.threshold),
      tone: () => "dim",
    },
    { key: "message", label: "What happened", width: "minmax(260px,2.2fr)", phone: "d", text: sentence },
    { key: "told", label: "Told", title: TOLD_TITLE, width: "minmax(96px,.6fr)", ...told },
  ];
}
