"""What an exchange's REST answers while a fault runs: refusals in its own words, changed bodies.

Responsible for: the bodies and headers of exchanges.md 1.9, 3.5, 4.9 and 5.4 for 429, 418, 403,
5xx and maintenance; rewriting replies. Where the exchange's text is not known (403 and 5xx nearly
everywhere) it is a page of HTML, as of a CDN: a client must not count on JSON. Pure. Not
responsible for: the limits that the exchanges enforce without a fault (their own files).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from email.utils import formatdate
from http import HTTPStatus

from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.faults.book import Running
from infra.simulator.faults.wire_fields import Wire

_STATUSES = {"refuse-rest": 503, "http-429": 429, "http-418": 418, "http-403": 403}
REFUSING = (*_STATUSES, "http-5xx", "maintenance")
_BAN_S = 120  # the shortest ban (exchanges.md 1.9)
_BINANCE = ("binance-usdm", "binance-coinm")
_MAINTENANCE = b'{"code":-1016,"msg":"This service is no longer available."}'
_NOTICE = "System maintenance"


def refusal(feed: str, fault: Running, call: RestCall) -> RestReply:
    """The answer of a feed to a call that one of REFUSING meets."""
    if fault.kind == "maintenance":
        told = _maintenance(feed, call)
        if told is not None:
            return told
    status = fault.get("status") or _STATUSES.get(fault.kind, 503)
    retry_after_s = fault.get("retry_after_s")
    reply = _words(feed, status, call, retry_after_s)
    if retry_after_s is None:
        return reply
    return replace(reply, headers={**reply.headers, "Retry-After": str(retry_after_s)})


def changed(reply: RestReply, wire: Wire, faults: Sequence[Running], call: RestCall) -> RestReply:
    """A reply, by another clock or in other units."""
    for fault in faults:
        if fault.kind == "clock-skew":
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


def _words(feed: str, status: int, call: RestCall, retry_after_s: int | None) -> RestReply:
    if feed in _BINANCE and status in {429, 418, 503}:
        return _binance(status, call, retry_after_s)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        if feed == "kucoin":
            # The reset is a countdown in ms (exchanges.md 3.5).
            headers = {
                "gw-ratelimit-limit": "2000",
                "gw-ratelimit-remaining": "0",
                "gw-ratelimit-reset": str((retry_after_s or 30) * 1_000),
            }
            return RestReply(b'{"msg":"Too Many Requests","code":"429000"}', 429, headers)
        if feed == "backpack":
            body = b'{"code":"TOO_MANY_REQUESTS","message":"Too many requests"}'
            return RestReply(body, 429)
        if feed == "hyperliquid":
            # Its body is UNVERIFIED (exchanges.md §4.9).
            return RestReply(b"null", 429)
    return _page(status)


def _binance(status: int, call: RestCall, retry_after_s: int | None) -> RestReply:
    headers = {"X-MBX-USED-WEIGHT-1M": "2401"}
    if status == 503:
        return RestReply(_MAINTENANCE, status, headers)
    advice = "Please use the websocket for live updates to avoid"
    if status == 429:
        message = (
            f"Too many requests; current limit of IP({call.client_ip}) is 2400 requests per "
            f"minute. {advice} polling the API."
        )
    else:
        until_ms = call.now_ms + (retry_after_s or _BAN_S) * 1_000
        message = (
            f"Way too many requests; IP({call.client_ip}) banned until {until_ms}. {advice} bans."
        )
    body = json.dumps({"code": -1003, "msg": message}, separators=(",", ":")).encode()
    return RestReply(body, status, headers)


def _maintenance(feed: str, call: RestCall) -> RestReply | None:
    """What the exchange's call for its own state says (exchanges.md 0.3 rule 15)."""
    if feed == "kucoin" and call.path == "/api/v1/status":
        body = {"code": "200000", "data": {"status": "close", "msg": _NOTICE}}
        return RestReply(json.dumps(body).encode())
    if feed == "backpack" and call.path == "/api/v1/status":
        body_text = json.dumps({"message": _NOTICE, "status": "Maintenance"})
        return RestReply(body_text.encode())
    if feed == "hyperliquid" and b'"exchangeStatus"' in call.body:
        status = {"specialStatuses": [_NOTICE], "time": call.now_ms}
        return RestReply(json.dumps(status, separators=(",", ":")).encode())
    return None


def _page(status: int) -> RestReply:
    try:
        title = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        title = str(status)
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return RestReply(page.encode(), status, {}, "text/html")
