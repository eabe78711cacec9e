// How numbers look: signed where the sign matters, a true minus, fixed decimals. Times are UTC.

export const DASH = "–";
const MINUS = "−";
const FIGURE_SPACE = "\u2007"; // as wide as a digit: zero has no sign and still stands in its column

const known = (value) => typeof value === "number" && Number.isFinite(value);

export function signed(value, decimals) {
  if (!known(value)) return DASH;
  const text = Math.abs(value).toFixed(decimals);
  if (Number(text) === 0) return FIGURE_SPACE + text;
  return (value < 0 ? MINUS : "+") + group(text);
}

function group(text) {
  const dot = text.indexOf(".");
  const whole = dot < 0 ? text : text.slice(0, dot);
  if (whole.length <= 3) return text;
  return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (dot < 0 ? "" : text.slice(dot));
}

export const UNITS = [
  ["pct", "%", "percent per interval"],
  ["bps", "bps", "basis points per interval"],
  ["apr", "APR", "percent per year, not compounded"],
];

/** A rate per interval (a fraction) in the unit the reader chose. */
export function rate(value, hours, unit) {
  if (unit === "bps") return signed(value * 1e4, 2);
  if (unit === "apr") return signed((value * 8760 * 100) / hours, 1);
  return signed(value * 100, 4);
}

export const pct = (fraction, decimals = 4) => signed(known(fraction) ? fraction * 100 : null, decimals);
export const z = (value) => signed(value, 2);
export const count = (value) => (known(value) ? group(String(Math.round(value))) : DASH);

/** Hours between settlements: "8 h", "0.5 h". */
export const hours = (value) => `${Number(value.toFixed(2))} h`;

export function percentile(value) {
  return known(value) ? (value * 100).toFixed(1) : DASH;
}

/** A price with some six significant digits, however small it is. */
export function price(value) {
  if (!known(value)) return DASH;
  if (value >= 1) return group(value.toFixed(value >= 1000 ? 1 : 4));
  if (value <= 0) return String(value);
  return value.toFixed(Math.min(12, Math.max(6, 3 - Math.floor(Math.log10(value)))));
}

const COMPACT = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 });

/** An amount of money with three digits: "1.23M", "845K". */
export const amount = (value) => (known(value) ? COMPACT.format(value) : DASH);

/** An age in seconds; never negative: two clocks may differ by some milliseconds. */
export function age(seconds) {
  if (!known(seconds)) return DASH;
  const s = Math.max(0, seconds);
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 119.5) return `${Math.round(s)} s`;
  if (s < 7170) return `${Math.round(s / 60)} min`;
  return s < 171000 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} d`;
}

export function countdown(seconds) {
  if (!known(seconds)) return DASH;
  const s = Math.max(0, Math.floor(seconds));
  return `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}

/** Time to a settlement (ms), or "due" where that has passed and the next is not known yet. */
export function until(at, now) {
  return known(at) && at < now ? "due" : countdown(known(at) ? (at - now) / 1000 : null);
}

export function milliseconds(value) {
  if (!known(value)) return DASH;
  return value < 10_000 ? `${Math.round(value)} ms` : age(value / 1000);
}

export const iso = (ms) => (known(ms) ? new Date(ms).toISOString() : "");

export function clock(ms, withSeconds = true) {
  return known(ms) ? iso(ms).slice(11, withSeconds ? 19 : 16) : DASH;
}

export function stamp(ms) {
  return known(ms) ? `${iso(ms).slice(0, 10)} ${clock(ms)}` : DASH;
}

export function day(ms) {
  return known(ms) ? iso(ms).slice(5, 10) : DASH;
}

/** The time of day, with the date where that is not the day of `now`. */
export function moment(ms, now) {
  return day(ms) === day(now) ? clock(ms) : `${day(ms)} ${clock(ms, false)}`;
}

const two = (n) => String(n).padStart(2, "0");

/** Sign as a class, strength as weight: never by colour alone. */
export function tone(value, strong = 2, stronger = 3) {
  if (!known(value)) return "dim";
  const size = Math.abs(value);
  if (size <= strong) return "";
  return `${value < 0 ? "neg" : "pos"} ${size >= stronger ? "w3" : "w2"}`;
}
