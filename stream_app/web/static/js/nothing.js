// What stands in a view's place while it has nothing to show, and why.

import { el, setHidden, setText } from "./dom.js";

const WHY = {
  loading: ["Connecting …", "The first numbers come within a second of the connection."],
  frozen: ["Nothing has been received yet.", "The page goes on trying to connect."],
  warming: ["Reading the topics …", "The first contracts appear as they are read."],
  empty: ["No contract has reported yet.", "A producer reports within 5 s of its start."],
};

/** {root, show(state, count, otherwise)}: hidden while count > 0; `otherwise` is said where nothing matches. */
export function nothingBox(clear) {
  const head = el("p");
  const text = el("p", { class: "lab" });
  const button = el("button", { class: "btn", type: "button", onclick: clear }, "Clear search and filters");
  const root = el("div", { class: "empty", hidden: true }, head, text, button);
  function show(state, known, shown, otherwise = ["No contract matches.", ""]) {
    setHidden(root, shown > 0);
    if (shown > 0) return;
    const [first, second] = known > 0 || !WHY[state] ? otherwise : WHY[state];
    setText(head, first);
    setText(text, second);
    setHidden(button, known === 0 || clear === undefined);
  }
  return { root, show };
}
