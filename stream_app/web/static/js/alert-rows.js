// The rows of the alerts view: what fired, each with whom it told. Alerts of the stream, and those that a rule made.

import { kindWords } from "./alerts-columns.js";

const US = 1000; // µs of a ms
const SIGNS = { sent: "✓", digest: "✓", failed: "✗", suppressed: "–", unknown: "?" };
const UNDER_WAY = "…";

/** Rows {id, at, subject, kind, severity, value, threshold, message, told, toldWhy, haystack}, newest first. */
export function alertRows(alerts, notifications) {
  const byAlert = new Map();
  for (const each of notifications) {
    if (!byAlert.has(each.alert_id)) byAlert.set(each.alert_id, []);
    byAlert.get(each.alert_id).push(each);
  }
  const rows = alerts.map((alert) => rowOf(alert, byAlert.get(alert.alert_id) ?? []));
  for (const { alert_id } of alerts) byAlert.delete(alert_id);
  for (const told of byAlert.values()) rows.push(rowOf({ ...told[0], threshold: null }, told));
  return rows.sort((a, b) => b.created - a.created);
}

function rowOf(alert, told) {
  const { alert_id, subject, kind, severity, value, threshold, message } = alert;
  const words = told.map(({ target, outcome }) => `${target} ${SIGNS[outcome] ?? UNDER_WAY}`).sort();
  return {
    id: alert_id,
    at: alert.event_time / US,
    created: alert.created_at,
    ...{ subject, kind, severity, value, threshold, message },
    told: words.join(", "),
    toldWhy: told.map(why).sort().join("\n"),
    haystack: `${subject} ${kind} ${kindWords(kind)} ${message} ${words.join(" ")}`.toLowerCase(),
  };
}

function why({ rule, target, outcome, sent_at: sentAt, attempts }) {
  const when = sentAt === null ? "" : ` at ${new Date(sentAt / US).toISOString().slice(0, 19).replace("T", " ")} UTC`;
  const tries = attempts > 1 ? `, attempt ${attempts}` : "";
  return `${target}: ${outcome}${when}${tries}, by the rule ${rule}`;
}
