"""The status page: HTML of the newest picture of the worker; text from outside is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from aiohttp import web

from schemas.rates import apr
from schemas.times import US_PER_S
from stream_app.core.scoring.zones import zone_of
from stream_app.web.api import add_api
from stream_app.web.metrics import metrics_text
from stream_app.web.picture import PIECE, Picture
from stream_app.web.shown import ShownContract
from stream_app.web.view import WorkerView

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_ASSETS = {"page.css": "text/css", "page.js": "text/javascript"}
_DASH = "–"
_STALE = ' class="stale"'
_HEAD = (
    b'<!doctype html><html lang="en"><head><meta charset="utf-8">'
    b'<meta name="viewport" content="width=device-width,initial-scale=1">'
    b"<title>fundingstream</title>"
    b'<link rel="stylesheet" href="/assets/page.css">'
    b'<script defer src="/assets/page.js"></script></head><body><main id="live">'
)
_TAIL = b"</main></body></html>"
_CONTRACTS_HEAD = (
    "<h2>Contracts, highest |z| first</h2><table><thead><tr><th>contract</th><th>base</th>"
    "<th>rate, %</th><th>interval, h</th><th>APR, %</th><th>z</th><th>zone</th>"
    "<th>samples</th><th>mark price</th><th>next funding, UTC</th><th>age, s</th>"
    "</tr></thead><tbody>"
)


def add_pages(app: web.Application, view: WorkerView) -> None:
    """Add all our routes to the worker's web application."""
    pages = _Pages(view)
    for path, handler in (
        ("/", pages.page),
        ("/fragment", pages.fragment),
        ("/metrics", pages.metrics),
        ("/assets/{name}", pages.asset),
    ):
        app.router.add_get(path, handler)
    add_api(app, view)


class _Pages:
    """The handlers."""

    def __init__(self, view: WorkerView) -> None:
        self._view = view

    async def page(self, _request: web.Request) -> web.Response:
        return _html(_HEAD + await self._fragment() + _TAIL)

    async def fragment(self, _request: web.Request) -> web.Response:
        return _html(await self._fragment())

    async def _fragment(self) -> bytes:
        return await (await self._view.picture()).made(render)

    async def metrics(self, _request: web.Request) -> web.Response:
        text = await (await self._view.picture()).made(self._metrics)
        return web.Response(body=text, content_type="text/plain", charset="utf-8")

    async def _metrics(self, picture: Picture) -> bytes:
        return metrics_text(picture, self._view.timings)

    async def asset(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in _ASSETS:
            raise web.HTTPNotFound
        text = files("stream_app.web").joinpath("static", name).read_text(encoding="utf-8")
        return web.Response(text=text, content_type=_ASSETS[name], headers=_HEADERS)


def _html(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="text/html", charset="utf-8", headers=_HEADERS)


async def render(picture: Picture) -> bytes:
    """Return the changing part of the page, made in slices."""
    rows = []
    for number, row in enumerate(picture.contracts):
        if number % PIECE == 0:
            await picture.pace.give_way()
        rows.append(_contract_row(picture, row))
    parts = (_top(picture), _CONTRACTS_HEAD, *rows, "</tbody></table>", _bottom(picture))
    return "".join(parts).encode()


def _top(picture: Picture) -> str:
    """Return what stands above the table of contracts."""
    summary = picture.summary()
    latency = summary["latency_s"]
    tiles = [
        ("contracts", f"{summary['contracts']:,}"),
        ("|z| > 2", f"{summary['high']:,}"),
        ("updates", f"{summary['updates']:,}"),
        ("latency p50 / p99", f"{_ms(latency['p50'])} / {_ms(latency['p99'])}"),
        ("lag, records", f"{summary['lag']:,}"),
        ("idle", f"{summary['idle_s']:.1f} s"),
        ("up", f"{summary['uptime_s']:,.0f} s"),
    ]
    return (
        "<header><h1>fundingstream</h1><p>Live funding rates of perpetual contracts. "
        "z: rate against the settlements of 30 days.</p></header>"
        f"{_state(summary)}"
        f'<section class="tiles">{"".join(_tile(*tile) for tile in tiles)}</section>'
        f"{_feeds_table(picture.feeds, picture.taken_at_us)}"
    )


def _bottom(picture: Picture) -> str:
    return (
        f"{_counts(picture.counts)}"
        '<footer><a href="/api/contracts">/api/contracts</a> <a href="/api/feeds">/api/feeds</a> '
        '<a href="/metrics">/metrics</a> <a href="/healthz">/healthz</a> '
        '<a href="/readyz">/readyz</a></footer>'
    )


def _state(summary: dict[str, Any]) -> str:
    """Return a line on baselines that still load, and the reasons why the worker is not ready."""
    lines = ""
    if summary["warming_up"] is not None:
        loaded, expected = summary["warming_up"]["loaded"], summary["warming_up"]["expected"]
        lines += f'<p class="warming">warming up, {loaded:,} of {expected:,} baselines</p>'
    if not summary["ready"]:
        reasons = "".join(f"<li>{escape(reason)}</li>" for reason in summary["why"])
        lines += f'<div class="waiting">not ready:<ul>{reasons}</ul></div>'
    return lines


def _ms(seconds: float | None) -> str:
    return _DASH if seconds is None else f"{seconds * 1_000:.0f} ms"


def _s(seconds: float | None) -> str:
    return _DASH if seconds is None else f"{seconds:.1f}"


def _tile(label: str, value: str) -> str:
    return f"<div><b>{escape(value)}</b><span>{escape(label)}</span></div>"


def _feeds_table(feeds: Sequence[dict[str, Any]], now_us: int) -> str:
    rows = "".join(
        f"<tr><td>{escape(f['feed'])}</td><td>{f['contracts']:,}</td><td>{f['updates']:,}</td>"
        f"<td>{_s(f['newest_age_s'])}</td><td>{_s(f['oldest_age_s'])}</td>"
        f"<td{_STALE if f['stale'] else ''}>{f['stale']:,}</td><td>{f['by_rest']:,}</td>"
        f"<td>{f['backfilling']:,}</td><td>{escape(f['state'] or _DASH)}</td>"
        f"<td>{_since(f['since'], now_us)}</td><td>{escape(f['detail'])}</td></tr>"
        for f in feeds
    )
    return (
        "<h2>Feeds</h2><table><thead><tr><th>feed</th><th>contracts</th><th>updates</th>"
        "<th>newest, s</th><th>oldest, s</th><th>stale</th><th>by REST</th>"
        "<th>baseline loading</th><th>state</th><th>for, s</th><th>reason</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _since(since_us: int | None, now_us: int) -> str:
    return _DASH if since_us is None else f"{max(0, now_us - since_us) / US_PER_S:,.0f}"


def _contract_row(picture: Picture, row: ShownContract) -> str:
    z = _DASH if row.z is None else f"{row.z:+.2f}"
    zone = "loading" if row.backfilling else zone_of(row.z)
    mark = _DASH if row.mark_price is None else f"{row.mark_price:,.8g}"
    stale = _STALE if picture.is_stale(row) else ""
    doubt = '<span title="in doubt">?</span>' if row.interval_doubtful else ""
    return (
        f'<tr class="{zone}"><td>{escape(row.contract_id)}</td>'
        f"<td>{escape(row.base)}</td><td>{row.rate * 100:+.5f}</td>"
        f"<td>{row.interval_hours:g}{doubt}</td>"
        f"<td>{apr(row.rate, row.interval_hours) * 100:+,.2f}</td>"
        f"<td>{z}</td><td>{zone}</td><td>{row.samples}</td><td>{mark}</td>"
        f"<td>{_clock(row.next_funding_time)}</td><td{stale}>{picture.age_s(row):.1f}</td></tr>"
    )


def _clock(time_us: int | None) -> str:
    if time_us is None:
        return _DASH
    minutes = time_us // US_PER_S // 60
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


def _counts(counts: Mapping[str, int]) -> str:
    items = "".join(f"<dt>{escape(k)}</dt><dd>{v:,}</dd>" for k, v in counts.items())
    return f"<h2>Counted since start</h2><dl>{items}</dl>"
