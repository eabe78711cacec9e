// The diverging scale: blue below, orange above, grey at nothing. Read from the tokens of the present theme.

const NAMES = ["--d-4", "--d-3", "--d-2", "--d-1", "--d0", "--d1", "--d2", "--d3", "--d4"];
const STEPS = 81;
let table = [];

/** Read the colours of the present theme; call again when it changes. */
export function readScale() {
  const style = getComputedStyle(document.documentElement);
  const stops = NAMES.map((name) => channels(style.getPropertyValue(name).trim()));
  table = Array.from({ length: STEPS }, (_, i) => {
    const at = i / 10;
    const low = Math.min(7, Math.floor(at));
    const part = at - low;
    return entry(stops[low].map((channel, c) => Math.round(channel + (stops[low + 1][c] - channel) * part)));
  });
}

function channels(hex) {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

function entry(rgb) {
  const [r, g, b] = rgb.map((value) => (value / 255) ** 2.2);
  const light = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return { fill: `rgb(${rgb.join(" ")})`, ink: light > 0.179 ? "#000000" : "#ffffff" };
}

/** Which of the scale's 81 tones a value in steps of −4 … +4 has. */
export const toneIndex = (value) => Math.round((Math.max(-4, Math.min(4, value)) + 4) * 10);

/** Fill and ink of a tone. */
export const toneAt = (index) => table[index];

/** Fill and ink for a value measured in steps of −4 … +4. */
export const shade = (value) => table[toneIndex(value)];
