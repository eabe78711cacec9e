// What a frame of /live does to the store.

import { Row } from "./rows.js";
import { MOST_ALERTS, MOST_NOTIFICATIONS } from "./store.js";

const US = 1000; // µs of a ms
const fromMicros = (value) => (value === null ? null : value / US);

/** Apply a snapshot or a delta. Returns the published_age_ms of the values it brought; a snapshot's do not count. */
export function applyFrame(store, frame) {
  const sentAt = frame.sent_at / US;
  if (frame.type === "snapshot") reset(store, frame);
  store.seq = frame.seq;
  if (frame.removed?.length) remove(store, frame.removed);
  if (frame.contracts?.index.length) addContracts(store, frame.contracts);
  if (frame.feeds?.length) mergeFeeds(store, frame.feeds);
  if (frame.feeds_gone) forgetFeeds(store, frame.feeds_gone);
  if (frame.facts) setFacts(store, frame.facts);
  if (frame.values) setValues(store, frame.values, sentAt, frame.type === "delta");
  if (frame.ticks) setTicks(store, frame.ticks, sentAt);
  if (frame.alerts?.length) addAlerts(store, frame.alerts);
  if (frame.notifications?.length) mergeNotifications(store, frame.notifications);
  if (frame.workers) store.workers = frame.workers; // all of them: one that is gone is not named
  if (frame.status) store.status = frame.status;
  if (frame.type === "snapshot") return [];
  return [frame.values?.published_age_ms ?? [], frame.ticks?.published_age_ms ?? []].flat();
}

function reset(store, frame) {
  for (const row of store.contracts) row.removed = true;
  Object.assign(store, { epoch: frame.epoch, contracts: [], byIndex: [], feeds: [], alerts: [], workers: [] });
  store.byId = new Map();
  store.notifications = new Map();
  store.version += 1;
  store.alertsVersion += 1;
  store.feedsVersion += 1;
}

function remove(store, indices) {
  for (const index of indices) {
    const row = store.byIndex[index];
    if (row === undefined) continue;
    row.removed = true;
    delete store.byIndex[index];
    store.byId.delete(row.id);
  }
  store.contracts = store.contracts.filter((row) => !row.removed);
  store.version += 1;
}

function forgetFeeds(store, names) {
  store.feeds = store.feeds.filter(({ feed }) => !names.includes(feed));
  store.feedsVersion += 1;
}

/** A frame may name what is known again: a contract's quote asset may be learnt later. */
function addContracts(store, { index, contract_id, feed, symbol, base, quote, currency, multiplier }) {
  const limits = new Map(store.feeds.map((each) => [each.feed, each.stale_s]));
  for (let k = 0; k < index.length; k++) {
    const there = store.byIndex[index[k]];
    const priced = { currency: currency[k], multiplier: multiplier[k] };
    if (there?.id === contract_id[k]) {
      Object.assign(there, priced);
      if (there.name(symbol[k], base[k], quote[k])) store.version += 1;
      continue;
    }
    if (there !== undefined) remove(store, [index[k]]);
    const row = new Row(index[k], contract_id[k], feed[k], symbol[k], base[k], quote[k]);
    row.staleAfter = limits.get(row.feed) ?? row.staleAfter;
    Object.assign(row, priced);
    store.byIndex[row.index] = row;
    store.byId.set(row.id, row);
    store.contracts.push(row);
    store.version += 1;
  }
}

function setFacts(store, facts) {
  for (let k = 0; k < facts.index.length; k++) {
    const row = store.byIndex[facts.index[k]];
    if (row === undefined) continue;
    row.hours = facts.interval_hours[k] || 8;
    row.intervalSource = facts.interval_source[k];
    row.doubtful = Boolean(facts.interval_doubtful[k]);
    row.samples = facts.samples[k];
    row.confidence = facts.confidence[k];
    row.mean = facts.mean[k];
    row.std = facts.std[k];
    row.statsAsOf = fromMicros(facts.stats_as_of[k]);
    row.next = fromMicros(facts.next_funding_time[k]);
    row.transport = facts.transport[k];
    row.turnover = facts.turnover_24h[k];
    row.interest = facts.open_interest[k];
    row.setRate(row.rate);
  }
}

function setValues(store, values, sentAt, known) {
  for (let k = 0; k < values.index.length; k++) {
    const row = store.byIndex[values.index[k]];
    if (row === undefined) continue;
    const before = row.rate;
    const seen = row.event > 0;
    row.setRate(values.rate[k]);
    if (known && seen && row.rate !== before) row.moved = row.rate > before ? sentAt : -sentAt;
    row.z = values.z[k];
    row.robust = values.robust_z[k];
    row.percentile = values.percentile[k];
    row.mark = values.mark_price[k];
    row.event = sentAt - values.event_age_ms[k];
  }
}

function setTicks(store, ticks, sentAt) {
  for (let k = 0; k < ticks.index.length; k++) {
    const row = store.byIndex[ticks.index[k]];
    if (row === undefined) continue;
    row.mark = ticks.mark_price[k];
    row.event = sentAt - ticks.event_age_ms[k];
  }
}

function mergeFeeds(store, feeds) {
  const merged = new Map(store.feeds.map((feed) => [feed.feed, feed]));
  for (const feed of feeds) merged.set(feed.feed, feed);
  store.feeds = [...merged.values()].sort((a, b) => (a.feed < b.feed ? -1 : 1));
  giveCodes(store.feeds);
  store.feedsVersion += 1;
  const limits = new Map(feeds.map((feed) => [feed.feed, feed.stale_s]));
  for (const row of store.contracts) row.staleAfter = limits.get(row.feed) ?? row.staleAfter;
}

/** Two letters for each feed, unique among them: the first, and another of its name. */
function giveCodes(feeds) {
  const taken = new Set();
  for (const feed of feeds) {
    const letters = feed.feed.toUpperCase().replace(/[^A-Z0-9-]/g, "");
    const parts = letters.split("-").filter(Boolean);
    const first = parts[0]?.[0] ?? "X";
    const wanted = [...parts.slice(1).map((part) => part[0]), ...letters.slice(1).replaceAll("-", ""), ..."123456789"];
    feed.code = wanted.map((second) => first + second).find((code) => !taken.has(code)) ?? first;
    taken.add(feed.code);
  }
}

function addAlerts(store, alerts) {
  const known = new Set(store.alerts.map((alert) => alert.alert_id));
  const fresh = alerts.filter((alert) => !known.has(alert.alert_id));
  store.alerts = [...fresh, ...store.alerts].slice(0, MOST_ALERTS);
  store.alertsVersion += 1;
}

/** Who was told of what; one that is named again has another outcome. The oldest are forgotten beyond a bound. */
function mergeNotifications(store, notifications) {
  for (const each of notifications.toReversed()) {
    const key = `${each.alert_id} ${each.target}`;
    store.notifications.delete(key);
    store.notifications.set(key, each);
  }
  for (const key of store.notifications.keys()) {
    if (store.notifications.size <= MOST_NOTIFICATIONS) break;
    store.notifications.delete(key);
  }
  store.alertsVersion += 1;
}
