// Map: bases by exchanges on one canvas, in newspaper columns, so that some hundred bases are in sight.

import { el, setAttr, setHidden, setText } from "./dom.js";
import { FILTERS, predicate } from "./filters.js";
import { count } from "./format.js";
import { mapElements } from "./map-elements.js";
import { groupsOf, inPlace } from "./map-groups.js";
import { cellAt, place, spot } from "./map-layout.js";
import { drawLegend, measureNamed, MEASURES } from "./map-measures.js";
import { painter } from "./map-paint.js";
import { describe, fillTable } from "./map-reading.js";
import { nothingBox } from "./nothing.js";
import { contractUrl, go, param, setParams } from "./router.js";
import { pageState, store } from "./store.js";

const ORDER_MS = 15_000;
const SAID_MS = 900;
const HEAD_PX = 24;
const FOOT_PX = 12;
const phone = matchMedia("(max-width: 720px)");
const NO_BASE = ["No base matches.", "Bases on one exchange only are left out unless asked for."];

export const mapView = (main) => new MapView(main);

class MapView {
  constructor(main) {
    this.parts = mapElements(() => this.gather());
    this.paint = painter(this.parts.canvas);
    this.nothing = nothingBox(() => this.clear());
    this.scene = { groups: [], feeds: [], measure: MEASURES.z, layout: null, now: 0, scrollTop: 0, strong: true };
    this.at = null; // the cell {i, j} under the pointer or the keyboard's cursor
    this.orderedAt = -Infinity;
    this.saidAt = 0;
    this.known = "";
    const { tools, line, scroll, table } = this.parts;
    const reading = el("div", { class: "sr" }, table);
    main.append(el("h1", { class: "sr" }, "Map"), tools, line, scroll, reading, this.nothing.root);
    this.watch = new ResizeObserver(() => this.arrange());
    this.watch.observe(scroll);
    this.follow();
    this.paint.themed();
    this.update(store.now(), false);
  }

  /** Listen to the pointer and to scrolling. */
  follow() {
    const { canvas, scroll } = this.parts;
    const unlessTouch = (act) => (event) => event.pointerType !== "touch" && act(event);
    canvas.addEventListener(
      "pointermove",
      unlessTouch((event) => this.moveTo(this.hit(event))),
    );
    canvas.addEventListener(
      "pointerleave",
      unlessTouch(() => this.moveTo(null)),
    );
    canvas.addEventListener("click", (event) => {
      this.moveTo(this.hit(event));
      if (event.pointerType !== "touch") this.open();
    });
    scroll.addEventListener("scroll", () => this.drawAll(), { passive: true });
  }

  update(now, themed) {
    const { scene, parts } = this;
    if (themed) {
      this.paint.themed();
      drawLegend(parts.legend, scene.measure);
    }
    const known = `${store.version} ${store.feeds.map((feed) => feed.code).join()}`;
    const isNew = known !== this.known;
    if (isNew && !parts.intervals.open) parts.intervals.renew();
    if (isNew || (this.at === null && performance.now() - this.orderedAt > ORDER_MS)) {
      this.known = known;
      this.gather(this.at !== null);
    } else if (themed) this.drawAll();
    else if (scene.layout !== null) this.paint.changed(Object.assign(scene, { now }));
    if (this.at !== null && performance.now() - this.saidAt > SAID_MS) this.say();
    this.nothing.show(pageState(), store.contracts.length, scene.groups.length, NO_BASE);
  }

  /** Choose and order the bases anew, by the address; `held`: they keep their places under the pointer. */
  gather(held = false) {
    const { parts, scene } = this;
    const order = param("order", "extreme");
    const measure = measureNamed(param("by", "z"));
    const alone = param("one") === "1";
    const found = groupsOf(store.contracts.filter(predicate()), store.feeds, { measure, order, alone });
    const groups = held ? inPlace(found, this.scene.groups) : found;
    Object.assign(scene, { groups, feeds: store.feeds, measure, strong: order !== "gap" });
    this.orderedAt = performance.now();
    if (this.at !== null && (this.at.i >= groups.length || this.at.j >= scene.feeds.length)) this.at = null;
    setHidden(parts.scroll, groups.length === 0);
    setAttr(parts.alone, "aria-pressed", String(alone));
    drawLegend(parts.legend, measure);
    parts.codes.replaceChildren(...scene.feeds.map(({ code, feed }) => el("span", {}, el("b", {}, code), ` ${feed}`)));
    fillTable(parts.table, scene);
    const what = `${measure.legend} of ${groups.length} bases on ${scene.feeds.length} exchanges`;
    setAttr(parts.canvas, "aria-label", `${what}. Arrow keys move, Enter opens.`);
    this.arrange();
  }

  /** Fit the bases into the room that there is. */
  arrange() {
    const { scroll, space } = this.parts;
    const style = getComputedStyle(scroll);
    const width = scroll.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const height = scroll.clientHeight;
    if (width <= 0 || height <= 0) return;
    const { groups, feeds } = this.scene;
    const room = { width, height: height - FOOT_PX, phone: phone.matches };
    this.scene.layout = place({ ...room, bases: groups.length, venues: feeds.length });
    space.style.height = `${Math.max(this.scene.layout.height, height)}px`;
    this.paint.resize(Math.floor(width), height);
    this.drawAll();
  }

  drawAll() {
    if (this.scene.layout === null) return;
    Object.assign(this.scene, { now: store.now(), scrollTop: this.parts.scroll.scrollTop });
    this.paint.all(this.scene);
    this.showCursor();
  }

  showCursor() {
    const { cursor } = this.parts;
    setHidden(cursor, this.at === null);
    if (this.at !== null) {
      const { x, y } = spot(this.scene.layout, this.at.i, this.at.j);
      cursor.style.transform = `translate(${x - 1}px, ${y - 1}px)`;
      cursor.style.width = `${this.scene.layout.cell + 1}px`;
      cursor.style.height = `${this.scene.layout.row + 1}px`;
    }
    this.say();
  }

  /** Say in words what is under the cursor, or what the map shows. */
  say() {
    const { at, parts, scene } = this;
    this.saidAt = performance.now();
    setHidden(parts.codes, at !== null);
    const here = at && describe({ group: scene.groups[at.i], feed: scene.feeds[at.j], j: at.j, now: store.now() });
    setHidden(parts.link, !here?.row);
    if (here?.row) setAttr(parts.link, "href", contractUrl(here.row.id));
    const where = param("one") === "1" ? "" : " on two exchanges or more";
    const all = `${count(scene.groups.length)} bases${where}; numbers beyond ${scene.measure.beyond}`;
    setText(parts.said, here ? here.text : all);
  }

  hit(event) {
    const { scroll } = this.parts;
    const box = scroll.getBoundingClientRect();
    const x = event.clientX - box.left - parseFloat(getComputedStyle(scroll).paddingLeft);
    return cellAt(this.scene.layout, x, event.clientY - box.top + scroll.scrollTop);
  }

  moveTo(next) {
    if (next?.i === this.at?.i && next?.j === this.at?.j) return;
    this.at = next;
    this.showCursor();
  }

  /** Move the cursor by `di` bases and `dj` exchanges, and bring it into sight. */
  shift(di, dj) {
    const { groups, feeds, layout } = this.scene;
    const { canvas, scroll } = this.parts;
    if (groups.length === 0) return;
    const within = (value, n) => Math.max(0, Math.min(n - 1, value));
    const focused = document.activeElement;
    if (focused !== canvas && !focused?.matches("input")) canvas.focus({ preventScroll: true });
    const { at } = this;
    this.moveTo(at ? { i: within(at.i + di, groups.length), j: within(at.j + dj, feeds.length) } : { i: 0, j: 0 });
    const { y } = spot(layout, this.at.i, this.at.j);
    const lowest = y + layout.row + FOOT_PX - scroll.clientHeight;
    if (y - HEAD_PX < scroll.scrollTop) scroll.scrollTop = y - HEAD_PX;
    else if (lowest > scroll.scrollTop) scroll.scrollTop = lowest;
  }

  move(step) {
    this.shift(step, 0);
  }

  side(step) {
    this.shift(0, step);
  }

  open() {
    const row = this.at && this.scene.groups[this.at.i].cells[this.at.j];
    if (row) go(contractUrl(row.id));
  }

  escape() {
    if (this.at !== null) this.moveTo(null);
    else this.clear();
  }

  clear() {
    setParams(Object.fromEntries(FILTERS.map((key) => [key, null])));
    this.parts.search.show();
    this.parts.intervals.show();
    this.gather();
  }

  destroy() {
    this.watch.disconnect();
  }
}
