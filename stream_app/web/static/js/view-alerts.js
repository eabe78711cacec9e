// Alerts: what fired in the last day, how strong, beyond which threshold, and a way to the moment.

import { columns, kindWords } from "./alerts-columns.js";
import { copyText, el, segments, setHidden, setText, toast } from "./dom.js";
import { menu, searchBox } from "./filters.js";
import { count } from "./format.js";
import { nothingBox } from "./nothing.js";
import { contractUrl, go, param, setParams } from "./router.js";
import { pageState, store } from "./store.js";
import { VirtualTable } from "./table.js";

const SEVERITIES = [
  ["", "All"],
  ["critical", "Critical"],
  ["warning", "Warning"],
  ["info", "Info"],
];
const DAY_MS = 86_400_000;
const NEAR_MS = 0.9 * DAY_MS;
const NO_ALERT = ["No alert in the last day.", "z beyond ±2 or ±3, a change of sign, and feeds that fail raise one."];
const NO_MATCH = ["No alert matches.", ""];

export function alertsView(main) {
  let version = -1;
  let all = [];
  const table = new VirtualTable({ label: "Alerts", onOpen: open, columns: columns(), rowClass: ({ severity }) => severity });
  const shown = el("span", { class: "lab", "aria-live": "polite" });
  const search = searchBox("Contract, feed or message", refresh);
  const kinds = menu("Kind", "kind", kindOptions, refresh);
  const severities = segments("Severity", SEVERITIES, param("severity"), (severity) => {
    setParams({ severity });
    refresh();
  });
  const nothing = nothingBox(clear);
  main.append(
    el("h1", { class: "sr" }, "Alerts"),
    el("div", { class: "tools", role: "group", "aria-label": "Search and filters" }, search, severities, kinds, el("span", { class: "grow" }), shown),
    table.root,
    nothing.root,
  );

  function kindOptions() {
    const counts = new Map();
    for (const { kind } of store.alerts) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    return [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([kind, n]) => [kind, kindWords(kind), n]);
  }
  function clear() {
    setParams({ q: null, kind: null, severity: null });
    search.show();
    kinds.show();
    severities.show("");
    refresh();
  }
  function refresh() {
    const words = param("q").toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(param("kind").split(",").filter(Boolean));
    const severity = param("severity");
    const list = all.filter(
      (row) =>
        (wanted.size === 0 || wanted.has(row.kind)) &&
        (severity === "" || row.severity === severity) &&
        words.every((word) => row.haystack.includes(word)),
    );
    table.setRows(list);
    setHidden(table.root, list.length === 0);
    const number = list.length === all.length ? count(all.length) : `${count(list.length)} of ${count(all.length)}`;
    setText(shown, `${number} in the last day`);
    nothing.show(pageState(), all.length, list.length, all.length === 0 ? NO_ALERT : NO_MATCH);
  }
  function update() {
    if (version !== store.alertsVersion) {
      version = store.alertsVersion;
      all = store.alerts.map(rowOf);
      if (!kinds.open) kinds.renew();
      refresh();
    } else {
      table.paint();
      if (all.length === 0) nothing.show(pageState(), 0, 0, NO_ALERT);
    }
  }
  async function copy() {
    const row = table.selected;
    if (row !== null) toast((await copyText(row.message)) ? "Alert copied" : "The browser does not allow copying");
  }
  update();
  return {
    table,
    update,
    move: (step) => table.move(step),
    open: () => (table.selected ? open(table.selected) : table.move(1)),
    copy,
    escape: () => (table.selected ? table.select(null) : clear()),
    destroy: () => table.destroy(),
  };
}

function rowOf(alert) {
  return {
    ...alert,
    id: alert.alert_id,
    at: alert.event_time / 1000,
    haystack: `${alert.subject} ${alert.kind} ${kindWords(alert.kind)} ${alert.message}`.toLowerCase(),
  };
}

/** To the contract at that moment, or to the feeds. */
function open({ subject, at }) {
  if (!subject.includes(":")) return go("#/feeds");
  const range = store.now() - at < NEAR_MS ? "1" : "2";
  return go(contractUrl(subject, { range, at }));
}
