// One contract: where the rate stands, how it got there, and the bytes it was made from.

import { copyText, el, setAttr, setHidden, setText, toast } from "./dom.js";
import * as format from "./format.js";
import { backToList, contractUrl, listUrl } from "./router.js";
import { isStarred, toggleStar } from "./stars.js";
import { store } from "./store.js";
import { Alerts, Elsewhere, Events, Facts } from "./view-contract-details.js";
import { ContractHistory } from "./view-contract-history.js";
import { RawBytes, Sql } from "./view-contract-raw.js";
import { Tiles } from "./view-contract-tiles.js";

export function contractView(main, id) {
  let page = null;
  let stage = "";
  function show(now) {
    const row = store.byId.get(id);
    if (row !== undefined && page === null) {
      main.replaceChildren();
      page = new ContractPage(main, row);
      stage = "page";
    }
    if (page !== null) return page.update(row, now);
    const next = store.status?.caught_up ? "unknown" : "loading";
    if (next === stage) return undefined;
    stage = next;
    return main.replaceChildren(stage === "loading" ? loading(id) : unknown(id));
  }
  return {
    update: show,
    star: () => page && toggleStar(id),
    copy: () => page?.copy(),
    escape: () => backToList(id),
    destroy: () => page?.destroy(),
  };
}

function loading(id) {
  return el(
    "div",
    { class: "empty", "aria-busy": "true" },
    el("h1", { class: "wrap" }, id),
    el("p", { class: "lab" }, "Waiting for its first numbers. They come within a second of the connection."),
  );
}

function unknown(id) {
  return el(
    "div",
    { class: "empty" },
    el("h1", {}, "Unknown contract"),
    el("p", { class: "wrap" }, `Nothing is known of “${id}”: no rate of the last day has this id.`),
    el("a", { class: "btn", href: "#/contracts" }, "All contracts"),
  );
}

class ContractPage {
  constructor(main, row) {
    this.id = row.id;
    this.row = row;
    this.pastAlerts = [];
    this.alertsSeen = -1;
    this.tiles = new Tiles();
    this.facts = new Facts();
    this.elsewhere = new Elsewhere(row);
    this.alerts = new Alerts();
    this.events = new Events();
    this.raw = new RawBytes(row.id);
    this.sql = new Sql(row.id);
    this.history = new ContractHistory(row.id, (past, available) => {
      this.pastAlerts = past?.alerts ?? [];
      this.events.show(past, available, store.now());
      this.alertsSeen = -1;
    });
    this.gone = el("p", { class: "note gone", role: "status", "data-s": "warn", hidden: true });
    main.append(this.layout(row));
    this.history.ask();
    this.raw.ask();
  }

  layout(row) {
    this.star = el("button", { class: "star", type: "button", onclick: () => toggleStar(this.id) });
    this.about = el("span", { class: "dim" });
    return el(
      "div",
      { class: "page contract" },
      el(
        "div",
        { class: "title" },
        el("a", { class: "btn quiet", href: listUrl(), "aria-label": "Back to the list", onclick: this.leave }, "←"),
        this.star,
        el("h1", { class: "wrap" }, row.symbol),
        this.about,
        el("span", { class: "grow" }),
        this.history.range,
      ),
      this.gone,
      this.tiles.root,
      el(
        "div",
        { class: "cols" },
        el("div", { class: "col" }, this.history.sections, this.raw.root, this.sql.root),
        el(
          "aside",
          { class: "col narrow", "aria-label": "Details" },
          el("section", {}, el("h2", {}, "Facts"), this.facts.root),
          this.elsewhere.root,
          this.alerts.root,
          this.events.gapsSection,
          this.events.auditSection,
        ),
      ),
    );
  }

  /** The address is a real one for a new tab; here the list also shows where the reader was. */
  leave = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    backToList(this.id);
  };

  /** `row` is undefined when the contract has gone since the page was opened: its last numbers stay, and say so. */
  update(row, now) {
    setHidden(this.gone, row !== undefined);
    if (row === undefined) setText(this.gone, "This contract is no longer delivered: the numbers are its last ones.");
    else this.row = row;
    const shown = this.row;
    const pair = shown.quote ? `${shown.base} in ${shown.quote}` : shown.base;
    setText(this.about, `${shown.feed} · ${pair} · every ${format.hours(shown.hours)}`);
    const on = isStarred(this.id);
    setText(this.star, on ? "★" : "☆");
    setAttr(this.star, "aria-pressed", String(on));
    setAttr(this.star, "aria-label", `Star ${this.id}`);
    this.tiles.paint(shown, now);
    this.facts.paint(shown);
    this.elsewhere.paint(shown, store.contracts, now);
    this.history.update(shown, now);
    this.showAlerts(now);
    this.sql.show(this.history.days);
  }

  showAlerts(now) {
    if (this.alertsSeen === store.alertsVersion) return;
    this.alertsSeen = store.alertsVersion;
    this.alerts.show(
      store.alerts.filter((alert) => alert.subject === this.id),
      this.pastAlerts,
      this.id,
      now,
    );
  }

  async copy() {
    const { row } = this;
    const link = `${location.origin}${location.pathname}${contractUrl(row.id)}`;
    const values = [`${format.pct(row.rate, 5)} %`, format.hours(row.hours), `z ${format.z(row.z)}`];
    const text = [row.id, ...values, format.iso(row.event), link].join("\t");
    toast((await copyText(text)) ? "Copied" : "The browser refused to copy");
  }

  destroy() {
    this.history.destroy();
    this.raw.destroy();
  }
}
