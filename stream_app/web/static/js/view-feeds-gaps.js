// The gaps: times without the stream of contracts, or of connections of a feed, and what filled them.

import { el, setAttr, setHidden, setText } from "./dom.js";
import * as format from "./format.js";
import { causeWords, lastedWords, ofContract, outcome, readGap, together } from "./gap-words.js";
import { contractUrl } from "./router.js";

export const MOST_GAPS = 1000;
const MOST_LINES = 100;
const HEADS = [
  ["Opened, UTC", ""],
  ["Contracts or connections", ""],
  ["Lasted", "r"],
  ["Why", ""],
  ["What was done", ""],
];

export class Gaps {
  constructor() {
    this.note = el("p", { class: "note", role: "status" }, "Loading …");
    this.body = el("tbody", { role: "rowgroup" });
    this.about = el("span", { class: "dim" }, "times without the stream, and what filled them");
    const heads = HEADS.map(([text, cls]) => el("th", { class: cls, scope: "col", role: "columnheader" }, text));
    this.table = el(
      "div",
      { class: "wide", tabindex: "0", role: "region", "aria-label": "Gaps, scrollable", hidden: true },
      el(
        "table",
        { class: "plain gaps-table", role: "table" },
        el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, heads)),
        this.body,
      ),
    );
    this.root = el(
      "section",
      {},
      el("div", { class: "title" }, el("h2", {}, "Gaps"), this.about),
      this.note,
      this.table,
    );
  }

  /** `list`: of /api/v1/gaps, or null; `reason`: why it is not known, or "". */
  show(list, reason, now) {
    if (reason) setText(this.note, `Gaps are not known: ${reason}.`);
    else setText(this.note, "No gap in the last 30 days.");
    setAttr(this.note, "data-s", reason ? "warn" : "");
    if (list === null) return setHidden(this.note, false);
    const lines = together(list.map(readGap)).slice(0, MOST_LINES);
    setHidden(this.note, lines.length > 0 && !reason);
    setHidden(this.table, lines.length === 0);
    const many = list.length >= MOST_GAPS ? `, the newest ${format.count(MOST_GAPS)}` : "";
    setText(this.about, `times without the stream, and what filled them${many}`);
    return this.body.replaceChildren(...lines.map((gaps) => line(gaps, now)));
  }
}

function line(gaps, now) {
  const open = gaps.some((gap) => gap.to === null);
  const [done, tone] = outcome(gaps, now);
  const cell = (cls, ...children) => el("td", { class: cls, role: "cell" }, children);
  const first = Math.min(...gaps.map((gap) => gap.from));
  return el(
    "tr",
    { role: "row" },
    cell("", format.stamp(first)),
    cell("", subject(gaps, first)),
    cell(open ? "r bad w2" : "r", lastedWords(gaps, now)),
    cell("", causeWords(gaps[0].cause) || format.DASH),
    cell(`wrap ${tone}`, done),
  );
}

/** A contract links to the moment on its page; a connection, or many contracts, to the feed's contracts. */
function subject(gaps, at) {
  const [gap] = gaps;
  if (ofContract(gap) && gaps.length === 1) {
    return el("a", { class: "link", href: contractUrl(gap.subject, { at }) }, gap.subject);
  }
  const [feed] = gap.subject.split(":", 1);
  const link = el("a", { class: "link", href: `#/contracts?feed=${encodeURIComponent(feed)}` }, feed);
  const many = ofContract(gap) ? "contracts" : "connections";
  const what = gaps.length > 1 ? `${format.count(gaps.length)} ${many}` : `connection ${gap.socket}`.trim();
  return [link, el("span", { class: "dim" }, ` · ${what}`)];
}
