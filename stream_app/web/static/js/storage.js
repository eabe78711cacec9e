// What the browser remembers. Storage may be refused or full: then it lasts as long as the tab.

const PREFIX = "fundingstream.";
const memory = new Map();

export function remembered(name) {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return memory.get(name) ?? null;
  }
}

/** Remember a text; null forgets it. */
export function remember(name, text) {
  if (text === null) memory.delete(name);
  else memory.set(name, text);
  try {
    if (text === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, text);
  } catch {
    // Kept in memory only.
  }
}

/** Call back when another tab has changed `name`. */
export function onRemembered(name, listener) {
  addEventListener("storage", (event) => {
    if (event.key === PREFIX + name) listener(event.newValue);
  });
}
