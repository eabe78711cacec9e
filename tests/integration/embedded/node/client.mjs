// Reads as a person would, with compressed answers. The argument is the server's URL.
import { createClient } from "@clickhouse/client";

const client = createClient({
  url: process.argv[2],
  database: "funding",
  compression: { response: true },
});
console.log("ping", (await client.ping({ select: true })).success);

async function rows(query, query_params = {}) {
  const result = await client.query({ query, query_params, format: "JSONEachRow" });
  return result.json();
}

const tables = await rows(
  "SELECT name FROM system.tables WHERE database = currentDatabase() AND name = 'rates'",
);
console.log("tables", tables.length);

const [typed] = await rows(
  `SELECT toDateTime64('2026-01-02 03:04:05.678901', 6, 'UTC') AS at, CAST(NULL, 'Nullable(String)') AS missing,
     toLowCardinality({word:String}) AS word, {number:Float64} AS number`,
  { word: "it's", number: 0.1 + 0.2 },
);
console.log("typed", typed.at, typed.missing, typed.word, typed.number === 0.1 + 0.2);

let sum = 0;
const many = await client.query({
  query: "SELECT number FROM numbers(300000)",
  format: "JSONCompactEachRow",
});
for await (const piece of many.stream()) {
  for (const row of piece) sum += Number(row.json()[0]);
}
console.log("sum", sum);

for (const query of [
  "SELECT * FROM no_such_table",
  "CREATE TABLE default.n (a Int8) ENGINE = Memory",
]) {
  try {
    await client.command({ query });
    console.log("accepted");
  } catch (error) {
    console.log("refused", error.code);
  }
}
await client.close();
