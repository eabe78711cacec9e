// The gaps: times in which a contract or a whole feed was known from nowhere.

import { el, setAttr, setHidden, setText } from "./dom.js";
import * as format from "./format.js";
import { causeWords, outcome } from "./gap-words.js";
import { contractUrl } from "./router.js";

const HEADS = [
  ["Opened, UTC", ""],
  ["Contract or feed", ""],
  ["Lasted", "r"],
  ["Why", ""],
  ["What was done", ""],
];
const MOST = 100;

export class Gaps {
  constructor() {
    this.note = el("p", { class: "note", role: "status" }, "Loading …");
    this.body = el("tbody", { role: "rowgroup" });
    this.about = el("span", { class: "dim" }, "times in which a contract was known from nowhere");
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

  /** `list`: newest first, of /api/v1/gaps; `reason`: why it is not known, or "". */
  show(list, reason, now) {
    const shown = (list ?? []).slice(0, MOST);
    setText(this.note, reason ? `Gaps are not known: ${reason}.` : "No gap in the last days.");
    setAttr(this.note, "data-s", reason ? "warn" : "");
    setHidden(this.note, shown.length > 0 && !reason);
    setHidden(this.table, shown.length === 0);
    this.body.replaceChildren(...shown.map((gap) => gapRow(gap, now)));
  }
}

function gapRow(gap, now) {
  const opened = gap.opened_at / 1000;
  const open = gap.closed_at === null;
  const seconds = open ? (now - opened) / 1000 : (gap.seconds ?? (gap.closed_at - gap.opened_at) / 1e6);
  const [done, tone] = outcome({ filledBy: gap.filled_by ?? "", restFilled: gap.rest_filled_s ?? null, seconds, open });
  const cell = (cls, ...children) => el("td", { class: cls, role: "cell" }, children);
  return el(
    "tr",
    { role: "row" },
    cell("", format.stamp(opened)),
    cell("", subject(gap.subject, opened)),
    cell(open ? "r bad w2" : "r", open ? `${format.age(seconds)}, open` : format.age(seconds)),
    cell("", causeWords(gap.cause) || format.DASH),
    cell(`wrap ${tone}`, done),
  );
}

/** A contract links to the moment on its page, a feed to its contracts. */
function subject(name, at) {
  const href = name.includes(":") ? contractUrl(name, { at }) : `#/contracts?feed=${encodeURIComponent(name)}`;
  return el("a", { class: "link", href }, name);
}
