// Where a value comes from: the raw bytes behind it, and the SQL that gives the same from ClickHouse.

import { contractPath, getJson, isAbort } from "./api.js";
import { copyText, el, setHidden, setText, toast } from "./dom.js";
import * as format from "./format.js";
import { section } from "./view-contract-details.js";

/** The record behind the present value: asked for when the page opens, and again when the reader wants. */
export class RawBytes {
  constructor(id) {
    this.id = id;
    this.place = el("p", { class: "lab wrap", role: "status" }, "Loading …");
    this.code = el("code");
    this.box = el("pre", { class: "raw", tabindex: "0", "aria-label": "Raw bytes" }, this.code);
    this.button = el("button", { class: "btn", type: "button", onclick: () => this.ask() }, "Read again");
    this.box.hidden = true;
    this.root = section("Raw bytes behind this value", this.place, this.box, this.button);
    this.root.className = "origin";
  }

  async ask() {
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    this.button.disabled = true;
    try {
      this.show(await getJson(`${contractPath(this.id)}/raw`, { signal: asking.signal }));
    } catch (error) {
      if (isAbort(error)) return;
      setHidden(this.box, true);
      setText(this.place, `The bytes cannot be shown: ${error.message}.`);
    }
    this.button.disabled = false;
  }

  show(raw) {
    const at = `${raw.raw_topic} · partition ${raw.raw_partition} · offset ${raw.raw_offset} · item ${raw.raw_item}`;
    const how = [raw.transport, raw.purpose, raw.channel].filter(Boolean).join(", ");
    const received = Number.isFinite(raw.received_at) ? `, received ${format.stamp(raw.received_at / 1000)} UTC` : "";
    const size = Number.isFinite(raw.bytes) ? ` · ${format.count(raw.bytes)} bytes${raw.truncated ? ", cut here" : ""}` : "";
    setText(this.place, `${at} · ${how}${received}${size}`);
    setHidden(this.box, false);
    this.code.textContent = raw.payload ?? "";
  }

  destroy() {
    this.asking?.abort();
  }
}

/** A text as a ClickHouse string literal: backslash and quote escaped, control characters written as escapes. */
export function sqlString(text) {
  const escaped = text
    .replaceAll("\\", "\\\\")
    .replaceAll("'", "\\'")
    .replace(/\p{Cc}/gu, (c) => (c < "\u0080" ? `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}` : c));
  return `'${escaped}'`;
}

/** The present value, the estimate, and the settlements, from the views of the database. */
export function sqlOf(id, days) {
  const is = `contract_id = ${sqlString(id)}`;
  return [
    "-- the present value",
    "SELECT rate, interval_hours, rate_8h, apr, z, robust_z, percentile, age_s",
    `FROM funding.latest WHERE ${is};`,
    "",
    "-- the line of the chart",
    "SELECT event_time, rate, interval_hours, rate_8h, z, raw_topic, raw_partition, raw_offset, raw_item",
    `FROM funding.zscores_once`,
    `WHERE ${is} AND event_time > now() - INTERVAL ${days} DAY`,
    "ORDER BY event_time;",
    "",
    "-- its circles and diamonds",
    "SELECT funding_time, rate, interval_hours, kind",
    `FROM funding.settlements_once`,
    `WHERE ${is} AND funding_time > now() - INTERVAL ${days} DAY`,
    "ORDER BY funding_time;",
  ].join("\n");
}

export class Sql {
  constructor(id) {
    this.id = id;
    this.code = el("code");
    this.root = section(
      "The same by SQL",
      el("pre", { class: "raw sql", tabindex: "0", "aria-label": "SQL" }, this.code),
      el("button", { class: "btn", type: "button", onclick: () => this.copy() }, "Copy SQL"),
    );
    this.root.className = "origin";
  }

  show(days) {
    setText(this.code, sqlOf(this.id, days));
  }

  async copy() {
    toast((await copyText(this.code.textContent)) ? "SQL copied" : "The browser refused to copy");
  }
}
