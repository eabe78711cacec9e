// Contracts: every contract in one table, the strongest first.

import { bandsBar } from "./bands.js";
import { columns, rowClass } from "./contracts-columns.js";
import { orderBy, ordering, sortRows } from "./contracts-order.js";
import { contractsTools } from "./contracts-tools.js";
import { downloadCsv } from "./csv.js";
import { copyText, el, setHidden, toast } from "./dom.js";
import { predicate } from "./filters.js";
import { nothingBox } from "./nothing.js";
import { contractUrl, go } from "./router.js";
import { startSparklines } from "./sparklines.js";
import { toggleStar } from "./stars.js";
import { pageState, store } from "./store.js";
import { VirtualTable } from "./table.js";

const ORDER_MS = 5000;
const RATE_NAMES = { pct: "Rate, %", bps: "Rate, bps", apr: "Rate, APR %" };
let sparklines = false;

export function contractsView(main) {
  let orderedAt = -Infinity;
  let version = -1;
  let list = [];
  const tools = contractsTools({ changed: refresh, unitChanged, csv: () => downloadCsv(list, store.now()) });
  const bands = bandsBar(refresh);
  const table = new VirtualTable({
    label: "Contracts",
    columns: columns(tools.unit),
    rowClass,
    onOpen: (row) => go(contractUrl(row.id)),
    onSort: (key) => {
      orderBy(table.columns, key);
      refresh();
    },
  });
  const nothing = nothingBox(tools.clear);
  main.append(el("h1", { class: "sr" }, "Contracts"), tools.root, bands.root, table.root, nothing.root);
  if (!sparklines) startSparklines();
  sparklines = true;

  function refresh() {
    const order = ordering(table.columns);
    list = sortRows(store.contracts.filter(predicate()), order);
    orderedAt = performance.now();
    table.showSort(order.column.key, order.descending);
    setHidden(table.root, list.length === 0);
    table.setRows(list);
    bands.renew();
    tools.show();
    tools.setCounts(list.length, false);
  }
  function unitChanged() {
    table.rename("rate", RATE_NAMES[tools.unit()]);
    table.paint();
  }
  function follow() {
    const late = performance.now() - orderedAt > ORDER_MS;
    const held = table.held;
    const changed = version !== store.version;
    if (changed) tools.renew();
    if (changed || (late && !held)) {
      version = store.version;
      refresh();
    } else {
      table.paint();
      tools.setCounts(list.length, late && held);
    }
    nothing.show(pageState(), store.contracts.length, list.length);
  }
  async function copy() {
    const row = table.selected;
    if (row === null) return;
    const worked = await copyText([row.id, row.rate, row.hours, row.rate8, row.apr, row.z ?? "", row.mark ?? ""].join("\t"));
    toast(worked ? `${row.id} copied` : "The browser does not allow copying");
  }
  unitChanged();
  follow();
  addEventListener("starred", refresh);
  return {
    table,
    update: follow,
    move: (step) => table.move(step),
    open: () => (table.selected ? go(contractUrl(table.selected.id)) : table.move(1)),
    star: () => table.selected && toggleStar(table.selected.id),
    copy,
    unit: tools.nextUnit,
    escape: () => (table.selected ? table.select(null) : tools.clear()),
    destroy: () => {
      table.destroy();
      removeEventListener("starred", refresh);
    },
  };
}
