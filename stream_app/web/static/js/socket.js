// The connection to /live: order, decompression, resume, reconnecting, and the clock of the server.

import { reasonOf } from "./api.js";
import { clockWasSet, forgetOffsets, isMeasured, offsetFrom } from "./clock.js";
import { applyFrame } from "./frames.js";
import { awaitPaint, forgetWaiting } from "./latency.js";
import { announce, heardNow, silence, spend, store } from "./store.js";

const FIRST_WAIT_MS = 400;
const MOST_WAIT_MS = 10_000;
const PING_MS = 5000;
const DEAF_MS = 6000; // an open socket that says nothing for so long is given up
const CONNECT_MS = 10_000; // a handshake that takes so long is given up
const HEALTHY_MS = 5000; // only then the next failure is a first one again
const MOST_QUEUED = 300; // frames not yet inflated; beyond it a snapshot is cheaper
const ASK_MS = 5000;
const UPGRADE_REQUIRED = 426; // it would accept a WebSocket
const REFUSALS_ASKED = 3; // the first failures, and then each third, are looked into

let socket = null;
let queue = Promise.resolve();
let queued = 0;
let failures = 0;
let begunAt = 0;
let openedAt = 0;
let retry = 0;

/** Connect, and stay connected until the page is closed. */
export function startSocket() {
  connect();
  setInterval(watch, 1000);
  setInterval(ping, PING_MS);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) forgetWaiting();
    else if (socket === null) connect();
    else announce();
  });
  addEventListener("online", () => socket === null && connect());
}

function address() {
  const url = new URL("live", document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  url.search = "";
  if (store.epoch !== null) url.search = new URLSearchParams({ epoch: store.epoch, seq: store.seq });
  return url;
}

function connect() {
  clearTimeout(retry);
  const mine = new WebSocket(address());
  mine.binaryType = "arraybuffer";
  socket = mine;
  begunAt = performance.now();
  let opened = false;
  mine.onopen = () => {
    opened = true;
    openedAt = performance.now();
    store.connection.open = true;
    store.connection.refused = "";
    forgetOffsets();
    ping();
  };
  mine.onmessage = ({ data }) => {
    if (socket !== mine) return;
    if (typeof data === "string") pong(data);
    else enqueue(mine, data);
  };
  mine.onclose = () => {
    if (socket !== mine) return;
    socket = null;
    lost(opened);
  };
}

/** Give the connection up; with `afresh` the next one begins with a snapshot. */
function drop(afresh) {
  const old = socket;
  socket = null;
  if (afresh) store.epoch = null;
  old?.close();
  lost(true);
}

function lost(opened) {
  failures += 1;
  const most = Math.min(MOST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(failures - 1, 10));
  const wait = most * (0.5 + Math.random() / 2);
  Object.assign(store.connection, { open: false, attempt: failures, retryAt: Date.now() + wait });
  clearTimeout(retry);
  retry = setTimeout(connect, wait);
  announce();
  if (!opened && (failures <= REFUSALS_ASKED || failures % REFUSALS_ASKED === 0)) void askWhy();
}

/** A browser does not tell why a handshake failed; a plain request to the same place does. */
async function askWhy() {
  let answer;
  try {
    const headers = { Accept: "application/json" };
    answer = await fetch(new URL("live", document.baseURI), { headers, signal: AbortSignal.timeout(ASK_MS) });
  } catch {
    return; // nobody answers: what the banner says already
  }
  if (answer.status === 401) location.assign(new URL(`login${location.hash}`, document.baseURI));
  store.connection.refused = answer.status === UPGRADE_REQUIRED ? "" : await reasonOf(answer);
  announce();
}

function watch() {
  if (clockWasSet()) {
    forgetOffsets();
    ping();
  }
  const connecting = socket?.readyState === WebSocket.CONNECTING && performance.now() - begunAt > CONNECT_MS;
  const deaf = socket?.readyState === WebSocket.OPEN && silence() > DEAF_MS;
  if (connecting || deaf) drop(false);
}

function ping() {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ ping: Date.now() }));
}

function pong(text) {
  const { pong: sent, now } = JSON.parse(text);
  const received = Date.now();
  if (clockWasSet() || typeof sent !== "number" || received < sent) {
    forgetOffsets();
    ping();
  } else store.clockOffset = offsetFrom(sent, received, now / 1000);
}

/** Inflate and apply in the order of arrival: inflating is asynchronous, so each waits for the one before. */
function enqueue(mine, data) {
  if (queued >= MOST_QUEUED) return drop(true);
  queued += 1;
  const inflated = inflate(data);
  queue = queue
    .then(async () => {
      const frame = await inflated;
      if (socket === mine) take(frame);
    })
    .catch((error) => {
      console.warn("a frame could not be read; asking for a snapshot", error);
      if (socket === mine) drop(true);
    })
    .finally(() => {
      queued -= 1;
    });
}

const inflate = (data) =>
  new Response(new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).json();

function take(frame) {
  const from = performance.now();
  if (!isMeasured() && store.heard === null) store.clockOffset = frame.sent_at / 1000 - Date.now();
  if (frame.type === "delta") {
    if (frame.seq <= store.seq) return;
    if (frame.seq !== store.seq + 1) return drop(true);
  } else if (frame.type !== "snapshot") return;
  const ages = applyFrame(store, frame);
  if (from - openedAt > HEALTHY_MS) failures = 0;
  store.connection.attempt = 0;
  heardNow();
  awaitPaint(frame.sent_at / 1000, ages);
  spend(performance.now() - from);
  announce();
}
