"""What an exchange's REST answers while a fault runs: refusals in its own words, changed bodies.

Pure. The words are the exchange's (`Exchange.refusal`, `Exchange.maintenance`). Where they are not
known, as for 403 and most of 5xx, the answer is a page of HTML as of a CDN, so that a client cannot
count on JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from email.utils import formatdate
from http import HTTPStatus

from infra.simulator.exchange import Exchange, RestCall, RestReply
from infra.simulator.faults.book import Running
from infra.simulator.wire_fields import Wire

_STATUSES = {"refuse-rest": 503, "http-429": 429, "http-418": 418, "http-403": 403}
REFUSING = (*_STATUSES, "http-5xx", "maintenance")


def refusal(exchange: Exchange, fault: Running, call: RestCall) -> RestReply:
    """Return the answer of an exchange to a call that one of REFUSING meets."""
    if fault.kind == "maintenance":
        told = exchange.maintenance(call)
        if told is not None:
            return told
    status = fault.get("status") or _STATUSES.get(fault.kind, 503)
    retry_after_s = fault.get("retry_after_s")
    reply = exchange.refusal(call, status, retry_after_s) or _page(status)
    if retry_after_s is None:
        return reply
    return replace(reply, headers={**reply.headers, "Retry-After": str(retry_after_s)})


def changed(reply: RestReply, wire: Wire, faults: Sequence[Running], call: RestCall) -> RestReply:
    """A reply, by another clock, in other units, or with values that are wrong or missing."""
    for fault in faults:
        if fault.kind == "null-fields":
            reply = replace(reply, body=wire.with_nulls(reply.body))
        elif fault.kind == "bad-field":
            name, symbol = fault.get("field"), fault.get("symbol")
            reply = replace(reply, body=wire.with_bad_field(reply.body, name, symbol))
        elif fault.kind == "clock-skew":
            skew_s = fault.get("skew_s")
            body = wire.shifted(reply.body, round(skew_s * 1_000_000))
            date = formatdate(call.now_ms / 1_000 + skew_s, usegmt=True)
            reply = replace(reply, body=body, headers={**reply.headers, "Date": date})
        elif fault.kind == "bad-units" and wire.is_current_call(call.path, call.body):
            unit = fault.get("unit")
            text = reply.body
            body = wire.in_percent(text) if unit is None else wire.in_unit(text, unit)
            reply = replace(reply, body=body)
    return reply


def _page(status: int) -> RestReply:
    try:
        title = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        title = str(status)
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return RestReply(page.encode(), status, {}, "text/html")
