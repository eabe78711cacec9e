"""The description of `/api/v1` (OpenAPI 3.1), made from the declarations of its routes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args, get_origin

import msgspec

from schemas import __version__
from stream_app.web.rest.answers import Refusal
from stream_app.web.rest.replies import CSV_TYPE, JSON_TYPE
from stream_app.web.rest.route import PREFIX, Route

_REFUSALS = {
    400: (
        "A parameter is unknown, given twice, or out of bounds; or the query is too long. A "
        "request line of more than 8 KiB is not read at all, which is said as plain text."
    ),
    401: "The server requires a token, and the request has none or a wrong one.",
    403: "The request comes from a foreign web page, or by a name that the server does not have.",
    404: "There is no such contract.",
    405: "The method is none of GET and HEAD.",
    413: "The request has a body.",
    429: "The client asks too often.",
    500: "The server has a bug: its log says more.",
    503: "The server has too much to do, or a part behind it does not answer.",
}
_UNREAD, _TEXT_TYPE = 400, "text/plain"
_OF_ALL = (400, 401, 403, 405, 413, 429, 500, 503)
_HEADERS = {
    405: {"Allow": {"schema": {"type": "string"}, "description": "The methods that are allowed."}},
    429: {"Retry-After": {"schema": {"type": "integer"}, "description": "In seconds."}},
    503: {"Retry-After": {"schema": {"type": "integer"}, "description": "In seconds."}},
}
_ETAG = {"ETag": {"schema": {"type": "string"}, "description": "Of this content, weak."}}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the description of the routes."""
    types = [*(route.answer for route in routes if _has_name(route.answer)), Refusal]
    _, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fundingstream",
            "version": __version__,
            "description": (
                "Live funding rates of perpetual futures, and the history behind them. Times are "
                "UTC microseconds, and ISO 8601 in the field `…_iso` beside. Rates are fractions: "
                "`rate` per interval, `rate_8h` per eight hours, `apr` per year."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": {PREFIX + route.path: {"get": _operation(route)} for route in routes},
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Where the server listens beyond loopback.",
                }
            },
        },
        # Either: on loopback no token is asked for.
        "security": [{}, {"token": []}],
    }


def _operation(route: Route) -> dict[str, Any]:
    content: dict[str, Any] = {JSON_TYPE: {"schema": _schema(route.answer)}}
    if route.rows:
        content[CSV_TYPE] = {"schema": {"type": "string"}}
    responses: dict[str, Any] = {
        "200": {"description": "The answer.", "headers": _ETAG, "content": content},
        "304": {"description": "The client has this content (If-None-Match).", "headers": _ETAG},
    }
    for status in sorted({*_OF_ALL, *route.refusals}):
        responses[str(status)] = {
            "description": route.refusals.get(status, _REFUSALS[status]),
            "content": {
                JSON_TYPE: {"schema": _schema(Refusal)},
                **({_TEXT_TYPE: {"schema": {"type": "string"}}} if status == _UNREAD else {}),
            },
        } | ({"headers": _HEADERS[status]} if status in _HEADERS else {})
    return {
        "operationId": "_".join(part.strip("{}") for part in route.path.strip("/").split("/")),
        "summary": route.summary,
        "parameters": [parameter.described() for parameter in route.declared],
        "responses": responses,
    }


def _has_name(answer: Any) -> bool:
    return get_origin(answer) is None and answer is not dict


def _schema(answer: Any) -> dict[str, Any]:
    if not _has_name(answer):
        return {"type": "object"}
    return {"$ref": f"#/components/schemas/{answer.__name__}"}


def columns(answer: Any, rows: str) -> list[str]:
    """Return the names of the columns of an answer's rows, as csv_text.py names them."""
    (field,) = (each for each in msgspec.structs.fields(answer) if each.name == rows)
    (row,) = get_args(field.type)
    return list(_names(row))


def _names(row: Any) -> list[str]:
    if not hasattr(row, "__struct_fields__"):
        return list(row.__annotations__)
    names: list[str] = []
    for field in msgspec.structs.fields(row):
        if hasattr(field.type, "__struct_fields__"):
            names += [f"{field.encode_name}_{inner}" for inner in _names(field.type)]
        else:
            names.append(field.encode_name)
    return names
