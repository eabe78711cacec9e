// A virtual table: as many row elements as fit, each painted only where it differs.

import { el, setAttr, setClass, setText } from "./dom.js";

const SPARE = 6;
const MOST_UNUSED = 40;
const HEADER_PX = 28;
const phone = matchMedia("(max-width: 720px)");
let serial = 0;

/**
 * columns: {key, label, title, width, cls, head, right, phone, rising, sort(row), text(row), tone(row), build(cell),
 * paint(cell, row)}. `rising`: sorted upwards at the first click. One without a width is only shown on the phone, where
 * `phone` names its place. Options: rowClass(row), onOpen(row), onSort(key), onSelect(row or null). Rows need an `id`,
 * by which the selection survives a new list.
 */
export class VirtualTable {
  constructor({ label, columns, rowClass, onOpen, onSort, onSelect }) {
    Object.assign(this, { columns, rowClass, onOpen, onSelect, rows: [], pool: [], selected: null, pointer: false });
    this.space = el("div", { class: "vt-space", role: "rowgroup" });
    this.heads = columns.map((column) => head(column, onSort));
    this.root = el(
      "div",
      {
        class: this.shape(),
        role: "grid",
        tabindex: "0",
        "aria-label": label,
        "aria-colcount": columns.length,
        css: { "--cols": columns.flatMap((column) => column.width ?? []).join(" ") },
      },
      el("div", { role: "rowgroup" }, el("div", { class: "vt-head", role: "row", "aria-rowindex": "1" }, this.heads)),
      this.space,
    );
    this.root.addEventListener("scroll", () => this.paint(), { passive: true });
    this.root.addEventListener("pointerenter", (event) => {
      this.pointer = event.pointerType === "mouse";
    });
    this.root.addEventListener("pointerleave", () => {
      this.pointer = false;
    });
    this.watch = new ResizeObserver(() => this.measure());
    this.watch.observe(this.root);
    this.measure();
  }

  shape() {
    const has = (place) => this.columns.some((column) => column.phone === place);
    return `vt${has("star") ? "" : " nostar"}${has("b") ? "" : " long"}`;
  }

  showSort(key, descending) {
    this.columns.forEach((column, i) => {
      if (!this.heads[i].hasAttribute("aria-sort")) return;
      setAttr(this.heads[i], "aria-sort", column.key !== key ? "none" : descending ? "descending" : "ascending");
    });
  }

  rename(key, label) {
    setText(this.heads[this.columns.findIndex((column) => column.key === key)].firstChild, label);
  }

  /** Show another list. The selected row stays selected if its id is in it. */
  setRows(rows) {
    this.rows = rows;
    setAttr(this.root, "aria-rowcount", String(rows.length + 1));
    if (this.selected !== null) {
      const same = rows.find((row) => row.id === this.selected.id) ?? null;
      if (same !== this.selected) this.select(same);
    }
    this.paint();
  }

  /** Whether rows should keep their places: someone points at them, has chosen one or marks text. */
  get held() {
    if (this.pointer || this.selected !== null) return true;
    const marked = getSelection();
    return !marked.isCollapsed && this.root.contains(marked.anchorNode);
  }

  measure() {
    this.height = parseInt(getComputedStyle(document.documentElement).getPropertyValue("--row"), 10);
    this.inSight = this.root.clientHeight;
    this.paint();
  }

  /** Paint what is in sight. Called on scroll, on resize and once per frame with changes. */
  paint() {
    const { height, rows, pool } = this;
    const tall = `${rows.length * height}px`;
    if (this.space.style.height !== tall) this.space.style.height = tall;
    const top = this.root.scrollTop;
    const within = (index) => Math.max(0, Math.min(rows.length, index));
    const first = this.whole ? 0 : within(Math.floor(top / height) - SPARE);
    const last = this.whole ? rows.length : within(Math.ceil((top + this.inSight) / height) + SPARE);
    while (pool.length < last - first) pool.push(this.build());
    while (pool.length > last - first + MOST_UNUSED) pool.pop().remove();
    // A row element keeps its row while that is in sight, so that scrolling repaints only what comes into sight.
    const size = pool.length;
    for (let i = 0; i < size; i++) {
      const index = first + ((((i - first) % size) + size) % size);
      this.place(pool[i], index, index < last, height);
    }
    const chosen = this.selected === null ? undefined : pool.find((node) => node.row === this.selected);
    if (chosen) setAttr(this.root, "aria-activedescendant", chosen.id);
    else this.root.removeAttribute("aria-activedescendant");
  }

  build() {
    const cells = this.columns.map((column) => {
      const cell = el("div", {
        role: "gridcell",
        class: `${column.cls ?? ""} ${column.right ? "r" : ""} ${column.width ? "" : "only-s"}`,
        "data-s": column.phone,
      });
      column.build?.(cell);
      return cell;
    });
    const node = el("div", { class: "vt-row", role: "row", id: `row-${(serial += 1)}` }, cells);
    node.cells = cells;
    node.addEventListener("click", (event) => {
      if (event.target.closest("button, a") || !getSelection().isCollapsed) return;
      this.select(node.row, event.detail > 1 || phone.matches);
    });
    node.addEventListener("dblclick", () => {
      getSelection().removeAllRanges();
      this.select(node.row, true);
    });
    this.space.append(node);
    return node;
  }

  place(node, index, used, height) {
    if (node.hidden === used) node.hidden = !used;
    if (!used) {
      node.row = null;
      return;
    }
    const row = (node.row = this.rows[index]);
    if (node.index !== index || node.heightUsed !== height) {
      node.style.transform = `translateY(${index * height}px)`;
      setAttr(node, "aria-rowindex", String(index + 2));
      Object.assign(node, { index, heightUsed: height });
    }
    const selected = row === this.selected;
    if (node.chosen !== selected) {
      node.chosen = selected;
      node.setAttribute("aria-selected", String(selected));
    }
    setClass(node, `vt-row ${this.rowClass?.(row) ?? ""}`);
    for (let i = 0; i < this.columns.length; i++) {
      const column = this.columns[i];
      const cell = node.cells[i];
      if (column.paint) {
        column.paint(cell, row);
        continue;
      }
      setText(cell, column.text(row));
      if (column.tone)
        setClass(
          cell,
          `${column.cls ?? ""} ${column.right ? "r" : ""} ${column.width ? "" : "only-s"} ${column.tone(row)}`,
        );
    }
  }

  select(row, open = false) {
    this.selected = row;
    this.paint();
    this.onSelect?.(row);
    if (open && row) this.onOpen?.(row);
  }

  /** Select the row `step` further, bring it into sight, and give the table the focus so that it is read out. */
  move(step) {
    if (!this.rows.length) return;
    const at = this.rows.indexOf(this.selected);
    const typing = document.activeElement?.matches("input");
    if (!typing && document.activeElement !== this.root) this.root.focus({ preventScroll: true });
    const next = at < 0 ? 0 : Math.max(0, Math.min(this.rows.length - 1, at + step));
    this.reveal(next);
    this.select(this.rows[next]);
  }

  /** Bring the row at this place into sight. */
  reveal(index) {
    const top = index * this.height;
    const head = phone.matches ? 0 : HEADER_PX;
    const lowest = top + this.height + head - this.root.clientHeight;
    if (top < this.root.scrollTop) this.root.scrollTop = top;
    else if (lowest > this.root.scrollTop) this.root.scrollTop = lowest;
  }

  /** For paper: all rows at once, one below the other. */
  printAll() {
    this.whole = true;
    this.paint();
  }

  /** Back to the rows in sight. */
  printed() {
    this.whole = false;
    for (const node of this.pool.splice(0)) node.remove();
    this.paint();
  }

  destroy() {
    this.watch.disconnect();
  }
}

function head(column, onSort) {
  const sortable = Boolean(onSort && column.sort);
  const inner = sortable
    ? el("button", { type: "button", title: column.title, onclick: () => onSort(column.key) }, column.label)
    : el("span", { class: "dim", title: column.title }, column.label);
  return el(
    "div",
    {
      role: "columnheader",
      class: `${column.head ?? ""} ${column.right ? "r" : ""} ${column.width ? "" : "only-s"}`,
      "aria-sort": sortable ? "none" : null,
    },
    inner,
  );
}
