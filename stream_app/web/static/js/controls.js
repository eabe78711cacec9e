// Controls that write one parameter of the address: a menu of check boxes, the search box.

import { el, setText } from "./dom.js";
import { count } from "./format.js";
import { param, setParams } from "./router.js";

const phone = matchMedia("(max-width: 720px)");

/**
 * A menu of check boxes for the parameter `key`. `options()` returns [value, text, number?] and is asked again by
 * `root.renew()`; `root.show()` follows the address.
 */
export function menu(label, key, options, changed) {
  const summary = el("summary", {}, label);
  const list = el("div");
  const root = el("details", { class: "menu" }, summary, el("fieldset", {}, el("legend", { class: "sr" }, label), list));
  let boxes = [];
  let shape = "";

  function renew() {
    const wanted = options();
    const now = JSON.stringify(wanted);
    if (now === shape) return;
    shape = now;
    boxes = wanted.map(([value]) => el("input", { type: "checkbox", value, onchange: write }));
    const rows = wanted.map(([, text, number], i) =>
      el("label", {}, boxes[i], el("span", {}, text), number === undefined ? null : el("span", {}, count(number))),
    );
    list.replaceChildren(...(rows.length ? rows : [el("p", { class: "lab" }, "Nothing yet")]));
    show();
  }
  function write() {
    const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
    setParams({ [key]: chosen.join(",") });
    show();
    changed();
  }
  function show() {
    const on = new Set(param(key).split(",").filter(Boolean));
    for (const box of boxes) box.checked = on.has(box.value);
    root.toggleAttribute("data-on", on.size > 0);
    setText(summary, on.size === 0 ? label : on.size === 1 ? nameOf([...on][0]) : `${label} · ${on.size}`);
  }
  const nameOf = (value) => options().find(([each]) => each === value)?.[1] ?? value;
  root.addEventListener("toggle", () => {
    if (!root.open) return;
    renew();
    for (const other of document.querySelectorAll("details.menu[open]")) if (other !== root) other.open = false;
  });
  renew();
  show();
  return Object.assign(root, { renew, show });
}

/** A click beside a menu closes it. */
export function closeMenusOutside() {
  document.addEventListener("click", (event) => {
    for (const each of document.querySelectorAll("details.menu[open]")) {
      if (!each.contains(event.target)) each.open = false;
    }
  });
}

/** The search box: as you type, with its key shown. `root.show()` follows the address. */
export function searchBox(placeholder, changed) {
  const input = el("input", {
    type: "search",
    placeholder: phone.matches ? "Search" : placeholder,
    "aria-label": placeholder,
    spellcheck: "false",
    autocomplete: "off",
    maxlength: 100,
    oninput: () => {
      setParams({ q: input.value.trim() });
      changed();
    },
  });
  const show = () => {
    input.value = param("q");
  };
  show();
  const hint = el("kbd", { "aria-hidden": "true", class: "hide-s" }, "/");
  return Object.assign(el("div", { class: "search", role: "search" }, input, hint), { show });
}
