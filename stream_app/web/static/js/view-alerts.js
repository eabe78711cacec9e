// Alerts: what fired in the last day, how strong, beyond which threshold, and a way to the moment.

import { alertRows } from "./alert-rows.js";
import { columns, kindWords } from "./alerts-columns.js";
import { copyText, el, segments, setHidden, setText, toast } from "./dom.js";
import { listParam, menu, searchBox } from "./filters.js";
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
const NEAR_MS = 0.9 * 86_400_000; // a day's chart still shows it
const NO_ALERT = ["No alert in the last day.", "z beyond ±2 or ±3, a change of sign, and feeds that fail raise one."];
const NO_MATCH = ["No alert matches.", ""];

export const alertsView = (main) => new AlertsView(main);

class AlertsView {
  constructor(main) {
    const changed = () => this.refresh();
    this.version = -1;
    this.all = [];
    this.table = new VirtualTable({
      label: "Alerts",
      columns: columns(),
      rowClass: ({ severity }) => severity,
      onOpen: openMoment,
    });
    this.shown = el("span", { class: "lab", "aria-live": "polite" });
    this.search = searchBox("Contract, feed or message", changed);
    this.kinds = menu("Kind", "kind", kindOptions, changed);
    this.severities = segments("Severity", SEVERITIES, param("severity"), (severity) => {
      setParams({ severity });
      this.refresh();
    });
    this.nothing = nothingBox(() => this.clear());
    const tools = el("div", { class: "tools", role: "group", "aria-label": "Search and filters" }, [
      this.search,
      this.severities,
      this.kinds,
      el("span", { class: "grow" }),
      this.shown,
    ]);
    main.append(el("h1", { class: "sr" }, "Alerts"), tools, this.table.root, this.nothing.root);
    this.update();
  }

  update() {
    if (this.version !== store.alertsVersion) {
      this.version = store.alertsVersion;
      this.all = alertRows(store.alerts, store.notifications.values());
      if (!this.kinds.open) this.kinds.renew();
      this.refresh();
    } else {
      this.table.paint();
      this.sayWhy();
    }
  }

  refresh() {
    const list = this.all.filter(matcher());
    this.table.setRows(list);
    setHidden(this.table.root, list.length === 0);
    const number = list.length === this.all.length ? "" : `${count(list.length)} of `;
    setText(this.shown, store.status === null ? "" : `${number}${count(this.all.length)} in the last day`);
    this.sayWhy();
  }

  sayWhy() {
    const known = this.all.length;
    this.nothing.show(pageState(), known, this.table.rows.length, known === 0 ? NO_ALERT : NO_MATCH);
  }

  clear() {
    setParams({ q: null, kind: null, severity: null });
    this.search.show();
    this.kinds.show();
    this.severities.show("");
    this.refresh();
  }

  move(step) {
    this.table.move(step);
  }

  open() {
    if (this.table.selected) openMoment(this.table.selected);
    else this.table.move(1);
  }

  async copy() {
    const row = this.table.selected;
    if (row === null) return;
    toast((await copyText(row.message)) ? "Alert copied" : "The browser does not allow copying");
  }

  escape() {
    if (this.table.selected) this.table.select(null);
    else this.clear();
  }

  destroy() {
    this.table.destroy();
  }
}

function kindOptions() {
  const counts = new Map();
  for (const { kind } of alertRows(store.alerts, store.notifications.values()))
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([kind, n]) => [kind, kindWords(kind), n]);
}

/** A function that keeps or drops an alert, from the address. */
function matcher() {
  const words = param("q").toLowerCase().split(/\s+/).filter(Boolean);
  const kinds = new Set(listParam("kind"));
  const severity = param("severity");
  return (row) =>
    (kinds.size === 0 || kinds.has(row.kind)) &&
    (severity === "" || row.severity === severity) &&
    words.every((word) => row.haystack.includes(word));
}

/** To the contract at that moment, to the spreads of a base, or to the feeds. */
function openMoment({ subject, kind, at }) {
  if (kind === "digest") return; // it tells of several
  if (kind === "spread") return go(`#/spreads?q=${encodeURIComponent(subject)}`);
  if (!subject.includes(":")) return go("#/feeds");
  const range = store.now() - at < NEAR_MS ? "1" : "2";
  return go(contractUrl(subject, { range, at }));
}
