// Feeds: which venue can be believed right now, and how the last day and week went.

import { getJson, isAbort } from "./api.js";
import { el, setHidden, setText } from "./dom.js";
import * as format from "./format.js";
import { nothingBox } from "./nothing.js";
import { pageState, store } from "./store.js";
import { agesByFeed, FrameRates } from "./view-feeds-figures.js";
import { Gaps, MOST_GAPS } from "./view-feeds-gaps.js";
import { COLUMNS, FeedRow } from "./view-feeds-row.js";

const REFRESH_MS = 30_000;
const RETRY_MS = 10_000;
const PAINT_MS = 1000;
const frameRates = new FrameRates(); // kept while other views are in sight: two reports are 5 s apart

export function feedsView(main) {
  const view = new FeedsView(main);
  return {
    update: (now) => view.update(now),
    move: (step) => view.move(step),
    destroy: () => view.destroy(),
  };
}

class FeedsView {
  constructor(main) {
    this.rows = new Map();
    this.reports = new Map();
    this.paintedAt = 0;
    this.nextAsk = 0;
    this.leaving = new AbortController();
    this.gaps = new Gaps();
    this.about = el("span", { class: "dim" });
    this.note = el("p", { class: "note", role: "status", "data-s": "warn", hidden: true });
    this.body = el("tbody", { role: "rowgroup" });
    this.table = el(
      "div",
      { class: "wide", tabindex: "0", role: "region", "aria-label": "Feeds, scrollable", hidden: true },
      el("table", { class: "plain feeds-table", role: "table" }, heads(), this.body),
    );
    this.nothing = nothingBox();
    main.append(
      el(
        "div",
        { class: "page flush feeds-page" },
        el("div", { class: "title" }, el("h1", {}, "Feeds"), this.about, el("span", { class: "grow" }), legend()),
        this.note,
        this.table,
        this.nothing.root,
        this.gaps.root,
      ),
    );
  }

  update(now) {
    if (performance.now() >= this.nextAsk) this.ask();
    if (this.version !== store.feedsVersion) {
      this.version = store.feedsVersion;
      frameRates.see(store.feeds);
      this.arrange();
      this.paintedAt = 0;
    }
    if (Math.abs(now - this.paintedAt) >= PAINT_MS) this.paint(now);
  }

  /** One row for each feed that reports, in the store's order; a row that stays is not touched. */
  arrange() {
    const names = store.feeds.map(({ feed }) => feed);
    for (const name of this.rows.keys()) if (!names.includes(name)) this.rows.delete(name);
    for (const name of names) if (!this.rows.has(name)) this.rows.set(name, new FeedRow(name));
    const nodes = names.flatMap((name) => [this.rows.get(name).row, this.rows.get(name).whyRow]);
    const same = nodes.length === this.body.children.length && nodes.every((node, i) => node === this.body.children[i]);
    if (!same) this.body.replaceChildren(...nodes);
    setHidden(this.table, names.length === 0);
  }

  paint(now) {
    this.paintedAt = now;
    const ages = agesByFeed(store.contracts, now);
    const mixed = store.status?.market === "mixed";
    for (const feed of store.feeds) {
      const report = this.reports.get(feed.feed) ?? null;
      const frames = frameRates.of(feed.feed);
      this.rows.get(feed.feed)?.paint({ feed, report, ages: ages.get(feed.feed), frames, mixed, now });
    }
    const none = ["No feed has reported yet.", "A producer reports within 5 s of its start."];
    const state = pageState();
    this.nothing.show(state === "empty" ? "" : state, 0, store.feeds.length, none);
    const plural = store.feeds.length === 1 ? "venue" : "venues";
    setText(
      this.about,
      store.status === null ? "" : `${store.feeds.length} ${plural}, ${format.count(store.contracts.length)} contracts`,
    );
  }

  async ask() {
    this.nextAsk = Infinity;
    const { signal } = this.leaving;
    const [feeds, gaps] = await Promise.allSettled([
      getJson("feeds", { signal }),
      getJson(`gaps?limit=${MOST_GAPS}`, { signal }),
    ]);
    if (signal.aborted || [feeds, gaps].some(({ reason }) => isAbort(reason))) return;
    const failed = feeds.status === "rejected" || gaps.status === "rejected";
    if (feeds.status === "fulfilled") this.reports = new Map(feeds.value.feeds.map((feed) => [feed.feed, feed]));
    setHidden(this.note, feeds.status === "fulfilled");
    if (feeds.status === "rejected") {
      setText(this.note, `Uptime, gaps and reconciliation are not renewed: ${feeds.reason.message}.`);
    }
    const now = store.now();
    const why =
      gaps.status === "rejected" ? gaps.reason.message : gaps.value.available === false ? gaps.value.reason : "";
    this.gaps.show(gaps.value?.gaps ?? null, why, now);
    this.nextAsk = performance.now() + (failed ? RETRY_MS : REFRESH_MS);
    this.paintedAt = 0;
  }

  /** j and k go from feed to feed; Enter follows the link that has the focus. */
  move(step) {
    const links = [...this.rows.values()].map(({ link }) => link);
    if (links.length === 0) return;
    const here = links.indexOf(document.activeElement);
    links[here < 0 ? 0 : Math.max(0, Math.min(links.length - 1, here + step))].focus();
  }

  destroy() {
    this.leaving.abort();
  }
}

function heads() {
  const cells = COLUMNS.map(([cls, text, title, right]) =>
    el(
      "th",
      { class: right ? `${cls} r` : cls, scope: "col", role: "columnheader", title: title || null },
      text || el("span", { class: "sr" }, title),
    ),
  );
  return el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, cells));
}

function legend() {
  const swatch = (name, text) => el("span", {}, el("i", { class: name }), text);
  return el(
    "span",
    { class: "key hide-s" },
    swatch("q-ok", "all contracts fresh"),
    swatch("q-part", "some"),
    swatch("q-bad", "fewer than half"),
    swatch("q-none", "not known"),
  );
}
