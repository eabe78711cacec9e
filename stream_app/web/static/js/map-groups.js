// The bases of the map: which contract stands in each cell, and their order.

export const ORDERS = [
  ["extreme", "Strongest"],
  ["gap", "Widest gap"],
  ["name", "A–Z"],
];

/**
 * Groups {base, cells, others, rank} of `rows` by base; cells[j] is the row shown for feeds[j] (of several contracts
 * the strongest), others[j] how many more there are. `alone`: bases on one feed only are wanted, too.
 */
export function groupsOf(rows, feeds, { measure, order, alone }) {
  const places = new Map(feeds.map((feed, j) => [feed.feed, j]));
  const groups = new Map();
  for (const row of rows) {
    const j = places.get(row.feed);
    if (j === undefined) continue;
    if (!groups.has(row.base)) groups.set(row.base, { base: row.base, cells: [], others: [], rank: 0 });
    put(groups.get(row.base), j, row, measure);
  }
  const found = [...groups.values()].filter((group) => alone || count(group) > 1);
  for (const group of found) rank(group, measure, order);
  const byName = (a, b) => (a.base < b.base ? -1 : 1);
  return found.sort((a, b) => (order === "name" || a.rank === b.rank ? byName(a, b) : b.rank - a.rank));
}

/** `groups` in the order in which their bases stood before; new ones at the end. */
export function inPlace(groups, before) {
  const places = new Map(before.map(({ base }, i) => [base, i]));
  const placeOf = ({ base }) => places.get(base) ?? before.length;
  return groups.sort((a, b) => placeOf(a) - placeOf(b));
}

const count = (group) => group.cells.reduce((n) => n + 1, 0); // holes are not counted

function put(group, j, row, { value }) {
  const there = group.cells[j];
  if (there === undefined) {
    group.cells[j] = row;
    group.others[j] = 0;
    return;
  }
  group.others[j] += 1;
  const strength = (each) => Math.abs(value(each) ?? -1);
  if (strength(row) > strength(there)) group.cells[j] = row;
}

function rank(group, { value }, order) {
  const values = [];
  group.cells.forEach((row) => {
    const each = value(row);
    if (each !== null) values.push(each);
  });
  if (values.length === 0) group.rank = -1;
  else if (order === "gap") group.rank = Math.max(...values) - Math.min(...values);
  else group.rank = Math.max(...values.map(Math.abs));
}
