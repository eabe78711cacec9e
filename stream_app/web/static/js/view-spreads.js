// Spreads: per base the best pair now, whether it paid in 7 and 30 days, and what it would have earned.

import { getJson, isAbort } from "./api.js";
import { searchBox } from "./controls.js";
import { copyText, el, setHidden, setText, toast } from "./dom.js";
import * as format from "./format.js";
import { nothingBox } from "./nothing.js";
import { contractUrl, go, param, setParams } from "./router.js";
import { gapOf, olderAge, paidOf, readPaid, renew, tradedAtLeast, yearly } from "./spread-pairs.js";
import { pageState, store } from "./store.js";
import { VirtualTable } from "./table.js";
import { columns, PHONE_ORDERS, sorted } from "./view-spreads-columns.js";
import { PairPanel } from "./view-spreads-panel.js";

const PAIRS_MS = 1000;
const ORDER_MS = 5000;
const PAID_MS = 60_000;
const RETRY_MS = 10_000;
const PAGE = 2000;
const MOST_PAGES = 10;
const MOST_MILLIONS = 1_000_000;
const NO_PAIR = ["No base is fresh on two exchanges yet.", "A pair needs two feeds with rates of the last 10 minutes."];
const phone = matchMedia("(max-width: 720px)");

export function spreadsView(main) {
  const view = new SpreadsView(main);
  return {
    table: view.table,
    update: (now) => view.update(now),
    move: (step) => view.table.move(step),
    open: () => view.open(),
    copy: () => view.copy(),
    escape: () => view.escape(),
    destroy: () => view.destroy(),
  };
}

class SpreadsView {
  constructor(main) {
    Object.assign(this, {
      pairs: new Map(),
      paid: new Map(),
      pairedAt: 0,
      orderedAt: 0,
      nextAsk: 0,
      reason: "",
    });
    this.leaving = new AbortController();
    this.panel = new PairPanel(() => this.table.select(null));
    this.table = new VirtualTable({
      label: "Spreads",
      columns: columns(),
      onSort: (key) => this.sort(key),
      onOpen: () => !phone.matches && this.open(),
      onSelect: (pair) => this.selected(pair),
    });
    this.shown = el("span", { class: "lab", "aria-live": "off" });
    this.note = el("p", { class: "note", role: "status", "data-s": "warn", hidden: true });
    this.search = searchBox("Base or feed", () => this.order());
    this.table.root.hidden = true;
    this.nothing = nothingBox(() => this.clear());
    this.split = el("div", { class: "split" }, this.table.root, this.nothing.root, this.panel.root);
    main.append(
      el("h1", { class: "sr" }, "Spreads"),
      el(
        "div",
        { class: "tools" },
        this.search,
        this.orderField(),
        this.leastField(),
        this.turnoverField(),
        el("span", { class: "grow" }),
        this.shown,
      ),
      this.note,
      this.split,
    );
  }

  leastField() {
    this.least = el("input", {
      type: "number",
      min: 0,
      step: 5,
      max: 100_000,
      value: param("min"),
      "aria-label": "Smallest gap, APR %",
      placeholder: "0",
      oninput: () => {
        setParams({ min: Number(this.least.value) > 0 ? this.least.value : null });
        this.order();
      },
    });
    return el(
      "label",
      { class: "least" },
      el("span", { class: "lab" }, "gap at least"),
      this.least,
      el("span", { class: "lab" }, "% APR"),
    );
  }

  /** Contracts that trade less are no legs: the widest of the other pairs is shown. */
  turnoverField() {
    this.traded = el("input", {
      type: "number",
      min: 0,
      step: 1,
      max: MOST_MILLIONS,
      value: param("vol"),
      "aria-label": "Smallest turnover of either leg in 24 hours, millions of the quote asset",
      placeholder: "0",
      oninput: () => {
        setParams({ vol: Number(this.traded.value) > 0 ? this.traded.value : null });
        this.pairAgain();
      },
    });
    return el(
      "label",
      { class: "least" },
      el("span", { class: "lab" }, "24 h turnover at least"),
      this.traded,
      el("span", { class: "lab" }, "million"),
    );
  }

  /** How much must be traded of either leg, in its quote asset. */
  get turnover() {
    return Math.min(Number(param("vol")) || 0, MOST_MILLIONS) * 1e6;
  }

  /** Pair the contracts anew now, and ask what these pairs paid. */
  pairAgain() {
    renew(this.pairs, tradedAtLeast(store.contracts, this.turnover), store.now(), this.paid);
    this.order();
    this.nextAsk = 0;
  }

  orderField() {
    const options = PHONE_ORDERS.map(([key, text]) => el("option", { value: key }, text));
    this.orders = el(
      "select",
      { class: "only-s", "aria-label": "Order", onchange: () => this.sort(this.orders.value, true) },
      options,
    );
    return this.orders;
  }

  update(now) {
    if (performance.now() >= this.nextAsk && store.status !== null) this.ask();
    if (Math.abs(now - this.pairedAt) >= PAIRS_MS) {
      this.pairedAt = now;
      const changed = renew(this.pairs, tradedAtLeast(store.contracts, this.turnover), now, this.paid);
      if (this.held && this.table.rows.length > 0) this.keep();
      else if (changed || this.pairs.size === 0 || Math.abs(now - this.orderedAt) >= ORDER_MS) this.order();
    }
    this.table.paint();
    this.panel.update();
  }

  /** Rows keep their places while the pointer is on them, text is marked, or the reader chose one. */
  get held() {
    const marked = getSelection();
    const text = !marked.isCollapsed && this.table.root.contains(marked.anchorNode);
    const chosen = this.table.selected !== null && this.table.selected.base === param("base");
    return this.table.pointer || chosen || text;
  }

  /** The order is held: what is gone leaves, what is new waits. */
  keep() {
    const rows = this.table.rows.filter((pair) => this.pairs.get(pair.base) === pair);
    if (rows.length < this.table.rows.length) this.table.setRows(rows);
    this.tell(rows.length);
  }

  /** Filter and sort as the address says. */
  order() {
    this.orderedAt = store.now();
    const words = param("q").toLowerCase().split(/\s+/).filter(Boolean);
    const least = Number(param("min")) || 0;
    const list = [...this.pairs.values()].filter(
      (pair) => yearly(gapOf(pair)) * 100 >= least && words.every((word) => matches(pair, word)),
    );
    const asked = this.table.columns.find((column) => column.sort && column.key === param("sort"));
    const column = asked ?? this.table.columns.find(({ key }) => key === "gap");
    const descending = param("dir") !== "asc";
    this.table.showSort(column.key, descending);
    this.orders.value = column.key;
    this.table.setRows(sorted(list, column, descending));
    this.tell(list.length);
    this.choose(list.length);
  }

  tell(count) {
    const known = this.turnover > 0 ? store.contracts.length : this.pairs.size;
    const none = known === 0;
    const held = this.held ? " · order held" : "";
    const of = `${format.count(count)} of ${format.count(this.pairs.size)} bases on two exchanges or more`;
    setText(this.shown, none ? "" : of + held);
    setHidden(this.table.root, count === 0);
    const state = store.contracts.length > 0 ? "" : pageState();
    this.nothing.show(state, known, count, none ? NO_PAIR : ["No spread matches.", ""]);
  }

  /** The base in the address as soon as there is such a pair, else, where there is room, the first row. */
  choose(count) {
    if (count === 0) return this.panel.show(null);
    const { selected } = this.table;
    const asked = this.table.rows.find(({ base }) => base === param("base"));
    if (asked && asked !== selected) return this.table.select(asked);
    if (selected === null && !phone.matches) return this.preselect(this.table.rows[0]);
    return undefined;
  }

  /** Shown, but not chosen by the reader: the address stays as it is. */
  preselect(pair) {
    this.quiet = true;
    this.table.select(pair);
    this.quiet = false;
  }

  selected(pair) {
    if (!this.quiet && !this.leaving.signal.aborted) setParams({ base: pair?.base ?? null });
    this.panel.show(pair);
  }

  sort(key, fromSelect = false) {
    const same = (param("sort") || "gap") === key;
    const text = key === "base";
    const down = same && !fromSelect ? param("dir") === "asc" : !text;
    setParams({ sort: key === "gap" ? null : key, dir: down ? null : "asc" });
    this.order();
  }

  /** What was paid, of all bases: page by page, renewed each minute. */
  async ask() {
    this.nextAsk = Infinity;
    const { signal } = this.leaving;
    const { turnover } = this;
    const legs = turnover > 0 ? `min_turnover_24h=${turnover}&` : "";
    try {
      let answer = null;
      const paid = new Map();
      for (let page = 0; page < MOST_PAGES; page++) {
        answer = await getJson(`spreads?${legs}limit=${PAGE}&offset=${page * PAGE}`, { signal });
        for (const spread of answer.spreads) paid.set(spread.base, readPaid(spread));
        if (answer.spreads.length < PAGE) break;
      }
      // Asked for anew meanwhile: what came is of other legs.
      if (turnover !== this.turnover) return;
      this.paid = paid;
      this.pairedAt = 0;
      this.reason = answer?.available === false ? answer.reason || "history is not available" : "";
      this.nextAsk = performance.now() + PAID_MS;
    } catch (error) {
      if (isAbort(error)) return;
      this.reason = error.message;
      this.nextAsk = performance.now() + RETRY_MS;
    }
    setText(this.note, `What was paid is not renewed: ${this.reason}.`);
    setHidden(this.note, this.reason === "");
    if (!this.held) this.orderedAt = 0;
  }

  open() {
    const pair = this.table.selected;
    if (pair === null) return false;
    return go(contractUrl(pair.short.id));
  }

  async copy() {
    const pair = this.table.selected;
    if (pair === null) return;
    const leg = (row) => `${row.id}\t${format.pct(row.rate)} %\t${format.hours(row.hours)}`;
    const paid = paidOf(pair);
    const parts = [
      pair.base,
      `${format.pct(yearly(gapOf(pair)), 1)} % a year`,
      leg(pair.short),
      leg(pair.long),
      `paid 7 d ${format.pct(paid?.week ?? null, 3)} %`,
      `older leg ${format.age(olderAge(pair, store.now()))}`,
    ];
    toast((await copyText(parts.join("\t"))) ? `${pair.base} copied` : "The browser refused to copy");
  }

  escape() {
    if (phone.matches && this.table.selected !== null) return this.table.select(null);
    if (param("base") !== "") {
      setParams({ base: null });
      return this.order();
    }
    return ["q", "min", "vol"].every((name) => param(name) === "") ? undefined : this.clear();
  }

  clear() {
    setParams({ q: null, min: null, vol: null });
    this.search.show();
    this.least.value = this.traded.value = "";
    this.pairAgain();
  }

  destroy() {
    this.leaving.abort();
    this.panel.destroy();
    this.table.destroy();
  }
}

function matches({ base, short, long }, word) {
  return base.toLowerCase().startsWith(word) || short.feed.includes(word) || long.feed.includes(word);
}
