// The keyboard, in one place. A view offers what it can do; letters never act while typing.

import { el } from "./dom.js";
import { go } from "./router.js";

const VIEWS = { c: "contracts", m: "map", s: "spreads", f: "feeds", a: "alerts" };
const LEADER_MS = 1200;
const HELP = [
  ["/", "search"],
  ["j k ↓ ↑", "next, previous row"],
  ["← →", "exchange, on the map"],
  ["Enter", "open the row"],
  ["Esc", "clear, close, back"],
  ["s", "star the row"],
  ["y", "copy the row"],
  ["u", "% · bps · APR"],
  ["t", "light or dark"],
  ["g c", "contracts"],
  ["g m", "map"],
  ["g s", "spreads"],
  ["g f", "feeds"],
  ["g a", "alerts"],
  ["?", "this help"],
];
let leaderAt = -Infinity; // a page that has just been opened has had no leader

/** `current()` is the view in sight. */
export function listen(current, toggleTheme) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (document.querySelector("dialog[open]")) return; // a dialog closes itself on Esc
    if (reserved(event)) return;
    if (performance.now() - leaderAt < LEADER_MS && VIEWS[event.key]) {
      leaderAt = -Infinity;
      go(`#/${VIEWS[event.key]}`);
      return event.preventDefault();
    }
    const act = actions(current(), event, toggleTheme)[event.key];
    if (act && act() !== false) event.preventDefault();
  });
}

/** Whether the element that has the focus needs this key itself. */
function reserved({ target, key }) {
  if (key === "Escape") return false;
  if (target.matches("select, textarea, [type=number], [type=checkbox], [type=range], [contenteditable]")) return true;
  if (target.matches("input")) return key !== "Enter" && key !== "ArrowDown" && key !== "ArrowUp";
  return false;
}

function actions(view, event, toggleTheme) {
  const onControl = event.target.matches("button, a, summary");
  return {
    "/": search,
    "?": help,
    t: toggleTheme,
    g: () => {
      leaderAt = performance.now();
    },
    j: () => (view.move ? view.move(1) : false),
    k: () => (view.move ? view.move(-1) : false),
    ArrowDown: () => (view.move ? view.move(1) : false),
    ArrowUp: () => (view.move ? view.move(-1) : false),
    ArrowLeft: () => (view.side ? view.side(-1) : false),
    ArrowRight: () => (view.side ? view.side(1) : false),
    Enter: () => (onControl || !view.open ? false : view.open()),
    s: () => view.star?.(),
    y: () => view.copy?.(),
    u: () => view.unit?.(),
    Escape: () => escape(view, event),
  };
}

function search() {
  const box = document.querySelector("input[type=search]");
  box?.focus();
  box?.select();
  return box !== null;
}

function escape(view, event) {
  const menu = document.querySelector("details.menu[open]");
  if (menu) {
    menu.open = false;
    menu.firstElementChild.focus();
    return true;
  }
  if (event.target.matches("input")) event.target.blur();
  return view.escape?.();
}

/** The dialog with all keys. */
export function help() {
  const dialog = document.querySelector("#help");
  const keys = (text) => text.split(" ").flatMap((key) => [el("kbd", {}, key), " "]);
  dialog.replaceChildren(
    el("h1", { id: "help-title" }, "Keyboard"),
    el(
      "dl",
      { class: "keys" },
      HELP.map(([text, does]) => el("div", {}, el("dt", {}, does), el("dd", {}, keys(text)))),
    ),
    el(
      "p",
      { class: "lab" },
      "All times are UTC. Colour and weight mark what is beyond ±2 standard deviations of 30 days.",
    ),
    el("button", { class: "btn", type: "button", autofocus: true, onclick: () => dialog.close() }, "Close"),
  );
  dialog.showModal();
}
