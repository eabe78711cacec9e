// A gap in words: why it began, and what filled it.

import { age } from "./format.js";

const CAUSES = { silent: "stream silent", never_streamed: "stream never began" };

/** "stream silent", "connection closed": why the gap began, or "". */
export const causeWords = (cause) => CAUSES[cause] ?? String(cause ?? "").replaceAll("_", " ");

/**
 * [words, tone] of what was done: `filledBy` is the worker's sentence, `restFilled` the seconds for which REST knew a
 * rate (null: not known). A gap that is open, or less than half filled, is bad.
 */
export function outcome({ filledBy, restFilled, seconds, open }) {
  const share = typeof restFilled === "number" && seconds > 0 ? restFilled / seconds : null;
  if (open) return [share > 0 ? `open; REST filled ${age(restFilled)}` : "open", "bad w2"];
  if (share === null) return [filledBy || "not known", filledBy ? "dim" : ""];
  const words = filledBy || (share > 0 ? `REST filled ${age(restFilled)}` : "not filled");
  return [words, share < 0.5 ? "bad w2" : "dim"];
}
