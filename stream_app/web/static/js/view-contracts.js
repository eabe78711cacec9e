// Contracts: every contract in one table, the strongest first.

import { bandsBar } from "./bands.js";
import { columns, rowClass } from "./contracts-columns.js";
import { orderBy, ordering, sortRows } from "./contracts-order.js";
import { contractsTools } from "./contracts-tools.js";
import { downloadCsv } from "./csv.js";
import { copyText, el, setHidden, toast } from "./dom.js";
import { predicate } from "./filters.js";
import { nothingBox } from "./nothing.js";
import { contractUrl, go, param, takeLeft } from "./router.js";
import { startSparklines } from "./sparklines.js";
import { toggleStar } from "./stars.js";
import { pageState, store } from "./store.js";
import { VirtualTable } from "./table.js";

const ORDER_MS = 5000;
const phone = matchMedia("(max-width: 720px)");
const RATE_NAMES = { pct: "Rate, %", bps: "Rate, bps", apr: "Rate, APR %" };

export const contractsView = (main) => new ContractsView(main);

class ContractsView {
  constructor(main) {
    this.refresh = this.refresh.bind(this);
    this.starred = this.starred.bind(this);
    this.list = [];
    this.orderedAt = -Infinity;
    this.version = -1;
    this.tools = contractsTools({
      changed: this.refresh,
      unitChanged: () => this.showUnit(),
      csv: () => downloadCsv(this.list, store.now()),
    });
    this.bands = bandsBar(this.refresh);
    this.table = new VirtualTable({
      label: "Contracts",
      columns: columns(this.tools.unit),
      rowClass,
      onOpen: (row) => go(contractUrl(row.id)),
      onSort: (key) => this.sort(key),
    });
    this.nothing = nothingBox(this.tools.clear);
    const heading = el("h1", { class: "sr" }, "Contracts");
    main.append(heading, this.tools.root, this.bands.root, this.table.root, this.nothing.root);
    addEventListener("starred", this.starred);
    startSparklines();
    this.showUnit();
    const left = takeLeft();
    this.update();
    this.returnTo(this.list.findIndex(({ id }) => id === left));
  }

  /** Where the reader was. On the phone the row is not chosen: nothing there would let go of it again. */
  returnTo(index) {
    if (index < 0) return;
    this.table.reveal(index);
    if (!phone.matches) this.table.select(this.list[index]);
  }

  /** Renew the order each 5 s, unless someone looks at a row; in between only the numbers. */
  update() {
    const late = performance.now() - this.orderedAt > ORDER_MS;
    const { held } = this.table;
    const isNew = this.version !== store.version;
    if (isNew) this.tools.renew();
    this.version = store.version;
    if ((isNew || late) && !held) this.refresh();
    else if (isNew) this.show(this.inPlace());
    else this.table.paint();
    if (performance.now() - this.countedAt > ORDER_MS) this.count(); // also while the order is held
    this.tools.setCounts(this.list.length, late && held);
    this.nothing.show(pageState(), store.contracts.length, this.list.length);
  }

  /** Choose and order the rows anew, by the address. */
  refresh() {
    const order = ordering(this.table.columns);
    this.orderedAt = performance.now();
    this.table.showSort(order.column.key, order.descending);
    this.show(sortRows(store.contracts.filter(predicate()), order));
    this.tools.show();
    this.tools.setCounts(this.list.length, false);
    this.nothing.show(pageState(), store.contracts.length, this.list.length);
  }

  /** The rows in the order in which they stand, without those that are gone, and new ones below. */
  inPlace() {
    const keep = predicate();
    const kept = this.list.map(({ id }) => store.byId.get(id)).filter((row) => row !== undefined && keep(row));
    const there = new Set(kept);
    const fresh = store.contracts.filter((row) => !there.has(row) && keep(row));
    return [...kept, ...sortRows(fresh, ordering(this.table.columns))];
  }

  show(list) {
    this.list = list;
    setHidden(this.table.root, list.length === 0);
    this.table.setRows(list);
    this.count();
  }

  count() {
    this.countedAt = performance.now();
    this.bands.renew();
  }

  /** A star does not move a row; it may only take it out of the starred ones. */
  starred() {
    if (param("star") === "1") this.show(this.inPlace());
    else this.table.paint();
  }

  sort(key) {
    orderBy(this.table.columns, key);
    this.refresh();
  }

  showUnit() {
    this.table.rename("rate", RATE_NAMES[this.tools.unit()]);
    this.table.paint();
  }

  move(step) {
    this.table.move(step);
  }

  open() {
    if (this.table.selected) go(contractUrl(this.table.selected.id));
    else this.table.move(1);
  }

  star() {
    if (this.table.selected) toggleStar(this.table.selected.id);
  }

  async copy() {
    const row = this.table.selected;
    if (row === null) return;
    const cells = [row.id, row.rate, row.hours, row.rate8, row.apr, row.z ?? "", row.mark ?? ""];
    const worked = await copyText(cells.join("\t"));
    toast(worked ? `${row.id} copied` : "The browser does not allow copying");
  }

  unit() {
    this.tools.nextUnit();
  }

  escape() {
    if (this.table.selected) this.table.select(null);
    else this.tools.clear();
  }

  destroy() {
    this.table.destroy();
    removeEventListener("starred", this.starred);
  }
}
