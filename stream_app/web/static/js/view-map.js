// Map: bases by exchanges on one canvas, in newspaper columns, so that some hundred bases are in sight.

import { el, segments, setAttr, setHidden, setText } from "./dom.js";
import { menu, predicate, searchBox } from "./filters.js";
import { count, hours } from "./format.js";
import { groupsOf, ORDERS } from "./map-groups.js";
import { cellAt, place, spot } from "./map-layout.js";
import { drawLegend, measureNamed, MEASURES } from "./map-measures.js";
import { painter } from "./map-paint.js";
import { describe, fillTable } from "./map-reading.js";
import { nothingBox } from "./nothing.js";
import { contractUrl, go, param, setParams } from "./router.js";
import { pageState, store } from "./store.js";

const ORDER_MS = 15_000;
const SAID_MS = 900;
const phone = matchMedia("(max-width: 720px)");

export function mapView(main) {
  const parts = build(gather);
  const { canvas, scroll, space, cursor } = parts;
  const paint = painter(canvas);
  const nothing = nothingBox();
  let scene = { groups: [], feeds: [], measure: MEASURES.z, layout: null, now: 0, scrollTop: 0, strong: true };
  let at = null;
  let orderedAt = -Infinity;
  let saidAt = 0;
  let versions = "";
  main.append(el("h1", { class: "sr" }, "Map"), parts.tools, parts.line, scroll, el("div", { class: "sr" }, parts.table), nothing.root);

  function gather() {
    const order = param("order", "extreme");
    const measure = measureNamed(param("by", "z"));
    const feeds = store.feeds;
    const groups = groupsOf(store.contracts.filter(predicate()), feeds, { measure, order, alone: param("one") === "1" });
    Object.assign(scene, { groups, feeds, measure, strong: order !== "gap" });
    orderedAt = performance.now();
    if (at !== null && (at.i >= groups.length || at.j >= feeds.length)) at = null;
    setHidden(scroll, groups.length === 0);
    setAttr(parts.alone, "aria-pressed", String(param("one") === "1"));
    drawLegend(parts.legend, measure);
    setText(parts.codes, "");
    parts.codes.replaceChildren(...feeds.map((feed) => el("span", {}, el("b", {}, feed.code), ` ${feed.feed}`)));
    fillTable(parts.table, scene);
    setAttr(canvas, "aria-label", `${measure.legend} of ${groups.length} bases on ${feeds.length} exchanges. Arrow keys move, Enter opens.`);
    measureRoom();
  }
  function measureRoom() {
    const style = getComputedStyle(scroll);
    const width = scroll.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const height = scroll.clientHeight;
    if (width <= 0 || height <= 0) return;
    scene.layout = place({ width, height: height - 12, bases: scene.groups.length, venues: scene.feeds.length, phone: phone.matches });
    space.style.height = `${Math.max(scene.layout.height, height)}px`;
    paint.resize(Math.floor(width), height);
    drawAll();
  }
  function drawAll() {
    if (scene.layout === null) return;
    Object.assign(scene, { now: store.now(), scrollTop: scroll.scrollTop });
    paint.all(scene);
    showCursor();
  }
  function showCursor() {
    setHidden(cursor, at === null);
    if (at !== null) {
      const { x, y } = spot(scene.layout, at.i, at.j);
      cursor.style.transform = `translate(${x - 1}px, ${y - 1}px)`;
      cursor.style.width = `${scene.layout.cell + 1}px`;
      cursor.style.height = `${scene.layout.row + 1}px`;
    }
    say();
  }
  function say() {
    saidAt = performance.now();
    setHidden(parts.codes, at !== null);
    const here = at && describe({ group: scene.groups[at.i], feed: scene.feeds[at.j], j: at.j, now: store.now() });
    setHidden(parts.link, !here?.row);
    if (here?.row) setAttr(parts.link, "href", contractUrl(here.row.id));
    const where = param("one") === "1" ? "" : " on two exchanges or more";
    setText(parts.said, here ? here.text : `${count(scene.groups.length)} bases${where}; numbers beyond ${scene.measure.beyond}`);
  }
  function hit(event) {
    const box = scroll.getBoundingClientRect();
    const x = event.clientX - box.left - parseFloat(getComputedStyle(scroll).paddingLeft);
    return cellAt(scene.layout, x, event.clientY - box.top + scroll.scrollTop);
  }
  function moveTo(next) {
    if (next?.i === at?.i && next?.j === at?.j) return;
    at = next;
    showCursor();
  }
  function openAt() {
    const row = at && scene.groups[at.i].cells[at.j];
    if (row) go(contractUrl(row.id));
    return Boolean(row);
  }
  function shift(di, dj) {
    if (scene.groups.length === 0) return;
    const within = (value, n) => Math.max(0, Math.min(n - 1, value));
    if (document.activeElement !== canvas && !document.activeElement?.matches("input")) canvas.focus({ preventScroll: true });
    moveTo(at ? { i: within(at.i + di, scene.groups.length), j: within(at.j + dj, scene.feeds.length) } : { i: 0, j: 0 });
    const { y } = spot(scene.layout, at.i, at.j);
    const row = scene.layout.row;
    if (y - 24 < scroll.scrollTop) scroll.scrollTop = y - 24;
    else if (y + row + 8 > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = y + row + 8 - scroll.clientHeight;
  }
  canvas.addEventListener("pointermove", (event) => event.pointerType !== "touch" && moveTo(hit(event)));
  canvas.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && moveTo(null));
  canvas.addEventListener("click", (event) => {
    moveTo(hit(event));
    if (event.pointerType !== "touch") openAt();
  });
  scroll.addEventListener("scroll", drawAll, { passive: true });
  const watch = new ResizeObserver(measureRoom);
  watch.observe(scroll);

  function update(now, themed) {
    if (themed) {
      paint.themed();
      drawLegend(parts.legend, scene.measure);
    }
    const wanted = `${store.version} ${store.feeds.map((feed) => feed.code).join()}`;
    const late = at === null && performance.now() - orderedAt > ORDER_MS;
    if (wanted !== versions || late) {
      if (wanted !== versions) parts.menu.open || parts.menu.renew();
      versions = wanted;
      gather();
    } else if (themed) drawAll();
    else if (scene.layout !== null) paint.changed(Object.assign(scene, { now }));
    if (at !== null && performance.now() - saidAt > SAID_MS) say();
    nothing.show(pageState(), store.contracts.length, scene.groups.length, ["No base matches.", "Bases on one exchange only are left out unless asked for."]);
  }
  paint.themed();
  update(store.now(), false);
  return {
    update,
    move: (n) => shift(n, 0),
    side: (n) => shift(0, n),
    open: openAt,
    escape: () => moveTo(null),
    destroy: () => watch.disconnect(),
  };
}

/** The elements of the view; `gather` is called when a control has changed the address. */
function build(gather) {
  const canvas = el("canvas", { tabindex: "0", role: "application", "aria-roledescription": "heat map", "aria-describedby": "map-said" });
  const cursor = el("div", { class: "map-cursor", hidden: true });
  const space = el("div", { class: "map-space" }, canvas, cursor);
  const scroll = el("div", { class: "map-scroll", role: "region", "aria-label": "Heat map, scrollable" }, space);
  const said = el("span", { id: "map-said", "aria-live": "polite" });
  const link = el("a", { class: "link", hidden: true }, "Open");
  const codes = el("p", { class: "codes hide-s" });
  const legend = el("div", { class: "legend", "aria-hidden": "true" });
  const choose = (name, first) => (value) => {
    setParams({ [name]: value === first ? null : value });
    gather();
  };
  const measures = Object.entries(MEASURES).map(([key, { label }]) => [key, label]);
  const aloneBox = el("button", { class: "btn", type: "button", title: "Show bases that only one exchange lists, too" }, "Singles too");
  aloneBox.addEventListener("click", () => choose("one")(param("one") === "1" ? null : "1"));
  const intervals = () => [...new Set(store.contracts.map((row) => row.hours))].sort((a, b) => a - b).map((h) => [String(h), hours(h)]);
  const box = menu("Interval", "h", intervals, gather);
  const tools = el(
    "div",
    { class: "tools", role: "group", "aria-label": "Search, measure and order" },
    searchBox("Base", gather),
    segments("Measure", measures, param("by", "z"), choose("by", "z")),
    segments("Order", ORDERS, param("order", "extreme"), choose("order", "extreme")),
    [box, aloneBox, el("span", { class: "grow hide-s" }), legend],
  );
  const line = el("div", { class: "map-line" }, el("p", { class: "map-said" }, said, " ", link), codes);
  return { canvas, cursor, space, scroll, said, link, codes, legend, tools, line, table: el("table"), menu: box, alone: aloneBox };
}
