// The order of the contracts table, from the address: which column, which way.

import { param, setParams } from "./router.js";

const FIRST = "z";

/** {column, descending} of the address; `columns` are those of the table. */
export function ordering(columns) {
  const sortable = columns.filter((column) => column.sort);
  const column = sortable.find(({ key }) => key === param("sort", FIRST)) ?? sortable.find(({ key }) => key === FIRST);
  const dir = param("dir", column.rising ? "asc" : "desc");
  return { column, descending: dir !== "asc" };
}

/** A click on a column's head: this column, or its other way. */
export function orderBy(columns, key) {
  const { column, descending } = ordering(columns);
  const turned = column.key === key ? (descending ? "asc" : "desc") : null;
  setParams({ sort: key === FIRST ? null : key, dir: turned });
}

/** Sort in place; what is unknown is last either way, and equals stand by their id. */
export function sortRows(rows, { column, descending }) {
  const sign = descending ? -1 : 1;
  const keyed = rows.map((row) => ({ row, key: column.sort(row) ?? null }));
  keyed.sort((a, b) => {
    if (a.key === b.key) return a.row.id < b.row.id ? -1 : 1;
    if (a.key === null || b.key === null) return a.key === null ? 1 : -1;
    return (a.key < b.key ? -1 : 1) * sign;
  });
  return keyed.map(({ row }) => row);
}
