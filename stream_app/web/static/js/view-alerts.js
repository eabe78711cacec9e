// Alerts: what fired in the last day, how strong, beyond which threshold, and a way to the moment.

import { alertRows } from "./alert-rows.js";
import { columns, kindWords, momentUrl } from "./alerts-columns.js";
import { copyText, el, segments, setHidden, setText, toast } from "./dom.js";
import { listParam, menu, searchBox } from "./filters.js";
import { count } from "./format.js";
import { nothingBox } from "./nothing.js";
import { go, param, setParams } from "./router.js";
import { pageState, store } from "./store.js";
import { VirtualTable } from "./table.js";

const SEVERITIES = [
  ["", "All"],
  ["critical", "Critical"],
  ["warning", "Warning"],
  ["info", "Info"],
];
const DAY_US = 86_400_000_000;
const LOOK_MS = 60_000; // what is older than a day leaves
const NO_ALERT = ["No alert in the last day.", "z beyond ±2 or ±3, a change of sign, and feeds that fail raise one."];
const NO_MATCH = ["No alert matches.", ""];

export const alertsView = (main) => new AlertsView(main);

class AlertsView {
  constructor(main) {
    const changed = () => this.refresh();
    this.version = -1;
    this.all = [];
    this.waiting = 0;
    this.gatheredAt = -Infinity;
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
    const isNew = this.version !== store.alertsVersion;
    const held = this.table.held && this.table.rows.length > 0;
    if (isNew || performance.now() - this.gatheredAt > LOOK_MS) {
      this.gather();
      if (held) this.keep();
      else this.refresh();
    } else if (this.waiting > 0 && !held) this.refresh();
    else {
      this.table.paint();
      this.sayWhy();
    }
  }

  gather() {
    this.version = store.alertsVersion;
    this.gatheredAt = performance.now();
    this.all = lastDay();
    if (!this.kinds.open) this.kinds.renew();
  }

  /** The order is held: rows keep their places under the pointer, what is new waits. */
  keep() {
    const wanted = new Map(this.all.filter(matcher()).map((row) => [row.id, row]));
    const rows = this.table.rows.map(({ id }) => wanted.get(id)).filter((row) => row !== undefined);
    this.waiting = wanted.size - rows.length;
    this.table.setRows(rows);
    this.tell(rows.length);
  }

  refresh() {
    const list = this.all.filter(matcher());
    this.waiting = 0;
    this.table.setRows(list);
    this.tell(list.length);
  }

  tell(number) {
    setHidden(this.table.root, number === 0);
    const part = number === this.all.length ? "" : `${count(number)} of `;
    const more = this.waiting > 0 ? ` · order held, ${count(this.waiting)} new` : "";
    setText(this.shown, store.status === null ? "" : `${part}${count(this.all.length)} in the last day${more}`);
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

function lastDay() {
  const from = store.now() * 1000 - DAY_US;
  return alertRows(store.alerts, store.notifications.values()).filter(({ created }) => created > from);
}

function kindOptions() {
  const counts = new Map();
  for (const { kind } of lastDay()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
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

function openMoment(row) {
  const url = momentUrl(row);
  if (url !== null) go(url);
}
