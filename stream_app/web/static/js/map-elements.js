// The elements of the map's view: tools, the line that says what is under the pointer, the canvas that scrolls.

import { el, segments } from "./dom.js";
import { menu, searchBox } from "./filters.js";
import { hours } from "./format.js";
import { ORDERS } from "./map-groups.js";
import { MEASURES } from "./map-measures.js";
import { param, setParams } from "./router.js";
import { store } from "./store.js";

/** `gather` is called when a control has changed the address. */
export function mapElements(gather) {
  const canvas = el("canvas", {
    tabindex: "0",
    role: "application",
    "aria-roledescription": "heat map",
    "aria-describedby": "map-said",
  });
  const cursor = el("div", { class: "map-cursor", hidden: true });
  const space = el("div", { class: "map-space" }, canvas, cursor);
  const scroll = el("div", { class: "map-scroll", role: "region", "aria-label": "Heat map, scrollable" }, space);
  const said = el("span", { id: "map-said", "aria-live": "polite" });
  const link = el("a", { class: "link", hidden: true }, "Open");
  const codes = el("p", { class: "codes hide-s" });
  const line = el("div", { class: "map-line" }, el("p", { class: "map-said" }, said, " ", link), codes);
  return { canvas, cursor, space, scroll, said, link, codes, line, table: el("table"), ...tools(gather) };
}

function tools(gather) {
  const choose = (name, first) => (value) => {
    setParams({ [name]: value === first ? null : value });
    gather();
  };
  const measures = Object.entries(MEASURES).map(([key, { label }]) => [key, label]);
  const legend = el("div", { class: "legend", "aria-hidden": "true" });
  const title = "Show bases that only one exchange lists, too";
  const alone = el("button", { class: "btn", type: "button", title }, "Singles too");
  alone.addEventListener("click", () => choose("one")(param("one") === "1" ? null : "1"));
  const intervals = menu("Interval", "h", intervalOptions, gather);
  const search = searchBox("Base", gather);
  const root = el(
    "div",
    { class: "tools", role: "group", "aria-label": "Search, measure and order" },
    search,
    segments("Measure", measures, param("by", "z"), choose("by", "z")),
    segments("Order", ORDERS, param("order", "extreme"), choose("order", "extreme")),
    [intervals, alone, el("span", { class: "grow hide-s" }), legend],
  );
  return { tools: root, legend, alone, intervals, search };
}

function intervalOptions() {
  const found = [...new Set(store.contracts.map((row) => row.hours))].sort((a, b) => a - b);
  return found.map((h) => [String(h), hours(h)]);
}
