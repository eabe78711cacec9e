// The page: which view stands in it, and what happens when the address, the data, the theme or a key changes.

import { closeMenusOutside } from "./filters.js";
import { listen } from "./keys.js";
import { painted } from "./latency.js";
import { read } from "./router.js";
import { frameParts, showFrame } from "./shell.js";
import { startSocket } from "./socket.js";
import { announce, pageState, store, subscribe } from "./store.js";
import { onTheme, printTheme, startTheme, toggleTheme } from "./theme.js";
import { alertsView } from "./view-alerts.js";
import { contractView } from "./view-contract.js";
import { contractsView } from "./view-contracts.js";
import { feedsView } from "./view-feeds.js";
import { mapView } from "./view-map.js";
import { spreadsView } from "./view-spreads.js";

/**
 * A view is a function of the element it fills and of the id in the address. It returns
 * {update(now, themed), destroy?, move?(step), side?(step), open?, star?, copy?, unit?, escape?, table?}.
 */
const VIEWS = new Map([
  ["contracts", contractsView],
  ["map", mapView],
  ["spreads", spreadsView],
  ["contract", contractView],
  ["feeds", feedsView],
  ["alerts", alertsView],
]);
const TITLE_MS = 1000; // a tab in the background paints nothing, but its name is in sight
const main = document.querySelector("#main");
let view = null;
let title = "";

function show() {
  const { view: asked, id } = read();
  const name = VIEWS.has(asked) ? asked : "contracts";
  view?.destroy?.();
  view = null;
  main.replaceChildren();
  main.scrollTop = 0;
  view = VIEWS.get(name)(main, id);
  title = `${id || name[0].toUpperCase() + name.slice(1)} · fundingstream`;
  const inNav = name === "contract" ? "contracts" : name;
  for (const link of document.querySelectorAll(".nav a")) {
    if (link.dataset.view === inNav) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  render(store.now());
}

/** Ages go on rising while the page is frozen: an old value must not look young. */
function render(now, themed = false) {
  const state = pageState();
  showFrame(state, now);
  nameTab(state);
  view?.update(now, themed);
}

function nameTab(state) {
  const wanted = state === "frozen" ? `■ frozen · ${title}` : title;
  if (document.title !== wanted) document.title = wanted;
}

/** A task that is queued in the animation frame runs after its painting. */
const afterPaint = new MessageChannel();
afterPaint.port1.onmessage = () => painted(store.now());

startTheme();
frameParts({ toggleTheme });
listen(() => view ?? {}, toggleTheme);
closeMenusOutside();
onTheme(() => render(store.now(), true));
subscribe((now) => {
  render(now);
  afterPaint.port2.postMessage(null);
});
addEventListener("hashchange", () => {
  show();
  main.focus({ preventScroll: true });
});
document.querySelector("#skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address keeps the view
  (main.querySelector("[role=grid], canvas, table") ?? main).focus();
});
addEventListener("beforeprint", () => {
  printTheme(true);
  view?.table?.printAll?.();
});
addEventListener("afterprint", () => {
  printTheme(false);
  view?.table?.printed?.();
});
setInterval(() => document.hidden && nameTab(pageState()), TITLE_MS);
startSocket();
show();
announce();
