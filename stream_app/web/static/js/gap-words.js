// Gaps in words: why they began, what filled them, and which of them are one event.

import { age, count } from "./format.js";

const CAUSES = {
  silent: "silent",
  never_streamed: "never streamed",
  closed: "connection closed",
  no_greeting: "no greeting from the exchange",
  message_lost: "a message was lost",
  incomplete: "changes without a whole row",
  kafka_full: "Kafka took nothing",
  stopped: "closed by the producer",
};
const TOGETHER_MS = 60_000;
const MOSTLY_FILLED = 0.5;

/** One gap of the API ({subject, opened_at, …}, times in µs) with times in ms; `to` is null while it is open. */
export function readGap(gap) {
  return {
    from: gap.opened_at / 1000,
    to: gap.closed_at === null ? null : gap.closed_at / 1000,
    subject: gap.subject,
    socket: gap.socket ?? "",
    filledBy: gap.filled_by ?? "",
    restFilled: gap.rest_filled_s ?? null,
    cause: gap.cause ?? "",
  };
}

/** Whether it is a gap of a contract; else one of a connection of a feed. */
export const ofContract = (gap) => gap.subject.includes(":");

/** "connection closed": why a gap began, or "". */
export const causeWords = (cause) => CAUSES[cause] ?? String(cause).replaceAll("_", " ");

export const lasted = (gap, now) => ((gap.to ?? now) - gap.from) / 1000;

/**
 * [words, tone] of what was done about gaps that are one event. `filledBy` is the worker's sentence, `restFilled` the
 * seconds for which REST knew a rate (null: not known). Open gaps, and ones less than half filled, are bad.
 */
export function outcome(gaps, now) {
  const told = gaps.filter((gap) => typeof gap.restFilled === "number");
  const seconds = told.reduce((sum, gap) => sum + lasted(gap, now), 0);
  const filled = told.reduce((sum, gap) => sum + gap.restFilled, 0);
  const share = seconds > 0 ? Math.min(1, filled / seconds) : null;
  const open = gaps.filter((gap) => gap.to === null).length;
  if (open > 0) {
    const some = open < gaps.length ? `${count(open)} of ${count(gaps.length)} are open` : "open";
    return [filled > 0 ? `${some}; REST filled ${percent(share)}` : some, "bad w2"];
  }
  const sentences = new Set(gaps.map((gap) => gap.filledBy));
  const tone = share === null ? "dim" : share < MOSTLY_FILLED ? "bad w2" : "dim";
  if (sentences.size === 1)
    return [gaps[0].filledBy || (share > 0 ? `REST filled ${percent(share)}` : "not known"), tone];
  return [share === null ? "see each" : filled > 0 ? `REST filled ${percent(share)}` : "nothing filled them", tone];
}

/** Whole percents, but never 0 or 100 of what is neither. */
function percent(share) {
  if (share > 0 && share < 0.01) return "< 1 %";
  return `${share < 1 ? Math.min(99, Math.round(share * 100)) : 100} %`;
}

/** "4 min", "41 s – 4 min". */
export function lastedWords(gaps, now) {
  const times = gaps.map((gap) => lasted(gap, now));
  const [least, most] = [Math.min(...times), Math.max(...times)].map(age);
  return least === most ? most : `${least} – ${most}`;
}

/**
 * Gaps that opened within the same minute, of one feed, of contracts or of connections, for one cause: a list of lists,
 * the newest first. A failure of an exchange is one line and not a thousand.
 */
export function together(gaps) {
  const groups = new Map();
  for (const gap of [...gaps].sort((a, b) => b.from - a.from)) {
    const [feed] = gap.subject.split(":", 1);
    const key = [feed, ofContract(gap), gap.cause, Math.floor(gap.from / TOGETHER_MS)].join("|");
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [gap]);
    else group.push(gap);
  }
  return [...groups.values()];
}
