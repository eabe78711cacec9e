// Light or dark: the system's, unless the reader chose the other; a choice that equals the system's is forgotten.

import { readScale } from "./scale.js";
import { onRemembered, remember, remembered } from "./storage.js";

const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();
let onPaper = false;

/** Call back after the theme changed, for what is painted by script. */
export function onTheme(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function toggleTheme() {
  const next = root.dataset.theme === "dark" ? "light" : "dark";
  remember("theme", next === systemTheme() ? null : next);
  apply();
}

const systemTheme = () => (system.matches ? "dark" : "light");

function apply() {
  const chosen = remembered("theme");
  root.dataset.theme = onPaper ? "light" : chosen === "dark" || chosen === "light" ? chosen : systemTheme();
  readScale();
  for (const listener of listeners) listener();
}

/** Paper is white, whatever the screen is. */
export function printTheme(on) {
  onPaper = on;
  apply();
}

/** Take the theme and follow the system and other tabs from now on. */
export function startTheme() {
  apply();
  system.addEventListener("change", apply);
  onRemembered("theme", apply);
}
