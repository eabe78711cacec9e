// Elements without a framework: build once, then write only what differs. Text always becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Create an element. Properties that begin with "on" are listeners, `css` is an object of style properties (written
 * through CSSOM, which the page's CSP allows), the rest are attributes; null, undefined and false are left out.
 */
export function el(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(node, props, children) {
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "style") throw new Error("the CSP refuses style attributes: use css: {…}");
    if (key === "css") setStyle(node, value);
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Set style properties by name, custom properties ("--cols") included. */
export function setStyle(node, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (node.style.getPropertyValue(name) !== value) node.style.setProperty(name, value);
  }
}

/** Write text only when it changed: keeps selections and costs nothing when nothing moved. */
export function setText(node, text) {
  const first = node.firstChild;
  if (first === null) node.append(text);
  else if (first.data !== text) first.data = text;
}

export function setClass(node, name) {
  if (node.className !== name) node.className = name;
}

export function setAttr(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

export function setHidden(node, hidden) {
  if (node.hidden !== hidden) node.hidden = hidden;
}

/** A group of exclusive buttons; options are [value, text, title]. `root.choose(value)` presses one. */
export function segments(label, options, current, onPick) {
  const buttons = options.map(([value, text, title]) =>
    el("button", { type: "button", "aria-pressed": String(value === current), title, onclick: () => pick(value) }, text),
  );
  function show(value) {
    options.forEach(([each], i) => setAttr(buttons[i], "aria-pressed", String(each === value)));
  }
  function pick(value) {
    show(value);
    onPick(value);
  }
  const root = el("div", { class: "seg", role: "group", "aria-label": label }, buttons);
  return Object.assign(root, { choose: pick, show });
}

const TOAST_MS = 2500;
let toastTimer = 0;

/** Say what a quiet action did; a screen reader hears it too. */
export function toast(text) {
  const place = document.querySelector("#toasts");
  clearTimeout(toastTimer);
  place.replaceChildren(el("div", { class: "toast" }, text));
  toastTimer = setTimeout(() => place.replaceChildren(), TOAST_MS);
}

/** Put text on the clipboard, also where the page is not served over TLS. Resolves to whether that worked. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const box = el("textarea", { class: "sr", readonly: true, "aria-hidden": "true" });
    const before = document.activeElement;
    box.value = text;
    document.body.append(box);
    box.select();
    const worked = document.execCommand("copy");
    box.remove();
    before?.focus?.({ preventScroll: true });
    return worked;
  }
}
