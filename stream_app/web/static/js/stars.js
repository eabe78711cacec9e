// The contracts that the reader starred, kept in this browser and shared by its tabs.

import { onRemembered, remember, remembered } from "./storage.js";

const MOST = 2000;
let chosen = parsed(remembered("stars"));

function parsed(text) {
  try {
    const list = JSON.parse(text ?? "[]");
    return new Set(Array.isArray(list) ? list.filter((id) => typeof id === "string").slice(0, MOST) : []);
  } catch {
    return new Set();
  }
}

export const isStarred = (id) => chosen.has(id);

/** Star a contract or take its star away; window hears "starred". Returns whether it is starred now. */
export function toggleStar(id) {
  const on = !chosen.delete(id) && chosen.size < MOST;
  if (on) chosen.add(id);
  remember("stars", JSON.stringify([...chosen]));
  dispatchEvent(new Event("starred"));
  return on;
}

onRemembered("stars", (text) => {
  chosen = parsed(text);
  dispatchEvent(new Event("starred"));
});
