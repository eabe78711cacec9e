// The address is the state: #/view/id?name=value. Reload, share and back all work.

/** What the address says now: {view, id, params}. A broken address reads as far as it can be read. */
export function read() {
  const text = location.hash.slice(1);
  const mark = text.indexOf("?");
  const path = mark < 0 ? text : text.slice(0, mark);
  const [view = "contracts", ...rest] = path.split("/").filter(Boolean);
  return { view, id: decoded(rest.join("/")), params: new URLSearchParams(mark < 0 ? "" : text.slice(mark + 1)) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const param = (name, other = "") => read().params.get(name) ?? other;

/** Change parameters in place, without a new entry in the history; null and "" remove one. */
export function setParams(changes) {
  const { view, id, params } = read();
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "" || value === undefined) params.delete(name);
    else params.set(name, value);
  }
  const text = params.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
  history.replaceState(null, "", `#/${view}${id ? `/${encoded(id)}` : ""}${text ? `?${text}` : ""}`);
}

const encoded = (id) => encodeURIComponent(id).replaceAll("%3A", ":");

/** Go to an address with a new entry in the history. */
export const go = (hash) => {
  location.hash = hash;
};

let list = "#/contracts";
let left = null;
addEventListener("hashchange", ({ oldURL }) => {
  const { hash } = new URL(oldURL);
  if (hash.startsWith("#/") && !hash.startsWith("#/contract/")) list = hash;
});

/** The list that the reader saw last, with its filters, order and unit. */
export const listUrl = () => list;

/** Leave a contract's page for that list, which then shows this contract as chosen. */
export function backToList(id) {
  left = list.startsWith("#/contracts") ? id : null;
  go(list);
}

/** The contract whose page was just left for the list, once; else null. */
export function takeLeft() {
  const id = left;
  left = null;
  return id;
}

/** The address of a contract's page; `at` (ms) marks a moment, `range` is the days shown. */
export function contractUrl(id, { range, at } = {}) {
  const params = new URLSearchParams();
  if (range) params.set("range", range);
  if (at) params.set("at", String(Math.round(at)));
  const text = params.toString();
  return `#/contract/${encoded(id)}${text ? `?${text}` : ""}`;
}
