// The small SVG module behind every chart: scales, steps of an axis, lines with breaks, the hatch of a gap.
//
// It is our own because there is no build step and a strict CSP: a library would have to travel in the wheel,
// be kept up to date and write no inline style. What is drawn here is a dozen shapes and at most 1,500 points.

import { svg } from "./dom.js";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** A linear map from [from, to] to [start, end]; a domain without width is mapped to the middle. */
export function linear(from, to, start, end) {
  const span = to - from;
  const scale = (value) => (span === 0 ? (start + end) / 2 : start + ((value - from) / span) * (end - start));
  scale.invert = (place) => (end === start ? from : from + ((place - start) / (end - start)) * span);
  return scale;
}

/** Round values between low and high, about `wanted` of them: steps of 1, 2 or 5 times a power of ten. */
export function steps(low, high, wanted = 5) {
  const raw = (high - low) / wanted;
  if (!(raw > 0) || !Number.isFinite(raw)) return { step: 0, values: [low] };
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999) * power;
  const values = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) values.push(k === 0 ? 0 : k * step);
  return { step, values };
}

/** How many decimals tell two neighbouring values of an axis in percent apart. */
export function decimalsOf(step, least = 4) {
  const percent = step * 100;
  return percent > 0 ? Math.min(8, Math.max(least, -Math.floor(Math.log10(percent) + 1e-9))) : least;
}

const TIME_STEPS = [1 / 60, 1 / 12, 0.25, 0.5, 1, 2, 4, 8, 12, 24, 48, 96, 168, 336].map((hours) => hours * HOUR);

/** Round moments (UTC) between two times, at most `most` of them: {at, midnight}. */
export function moments(from, to, most) {
  const least = to - from > 4 * DAY ? DAY : 0; // over several days only midnights
  const step = TIME_STEPS.find((size) => size >= least && (to - from) / size <= most) ?? TIME_STEPS.at(-1);
  const list = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) list.push({ at, midnight: at % DAY === 0 });
  return { step, list };
}

/** The `d` of a line through points {at, value}; null lifts the pen. */
export function linePath(points, x, y) {
  let text = "";
  let pen = "M";
  for (const point of points) {
    if (point === null) {
      pen = "M";
      continue;
    }
    text += `${pen}${x(point.at).toFixed(1)} ${y(point.value).toFixed(1)}`;
    pen = "L";
  }
  return text;
}

/** Points that stand alone between two breaks: a line through one point draws nothing. */
export function lonely(points) {
  return points.filter(
    (point, i) => point !== null && (points[i - 1] ?? null) === null && (points[i + 1] ?? null) === null,
  );
}

/** The pattern that shades a gap; ids are per document, so each chart passes its own. */
export function hatch(id) {
  return svg(
    "pattern",
    { id, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    svg("rect", { class: "hatch", width: 2, height: 6 }),
  );
}

/** The index of the entry whose `at` is nearest, in a list ordered by `at`; −1 for an empty list. */
export function nearest(list, at) {
  if (list.length === 0) return -1;
  let low = 0;
  let high = list.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].at < at) low = middle + 1;
    else high = middle;
  }
  return low > 0 && at - list[low - 1].at <= list[low].at - at ? low - 1 : low;
}

let serial = 0;
/** An id that no other node of the page has. */
export const uniqueId = (prefix) => `${prefix}-${++serial}`;
