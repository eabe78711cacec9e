"""The embedded schema registry: Confluent's REST API over a store and its log.

It covers what Confluent's serialisers, tools like kcat and web consoles use, for Avro. The rules
are in store.py, durability is in log.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from infra.embedded.httpserver import serve_until_signal
from infra.embedded.ports import LOOPBACK, require_free_port
from infra.embedded.registry.log import RegistryLog
from infra.embedded.registry.store import RegistryError, RegistryStore, Version
from infra.embedded.storage import DataDirectory
from schemas.http.browser_guard import is_loopback
from schemas.http.server import guard

DEFAULT_PORT = 8081
_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
_MAX_REQUEST_BYTES = 1 << 20
_MIN_FREE_BYTES = 16 * 1024 * 1024
_WHAT = "the schema registry"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """What a person may choose. `allowed_hosts`: further names that clients use for this server."""

    data_dir: Path
    host: str = LOOPBACK
    port: int = DEFAULT_PORT
    allowed_hosts: tuple[str, ...] = ()
    port_flag: str = "--port"
    data_dir_flag: str = "--data-dir"


def run(options: RegistryOptions) -> None:
    """Serves until SIGTERM or SIGINT; each failure to start is one line with the way out."""
    require_free_port(options.port, _WHAT, options.port_flag, options.host)
    with DataDirectory(
        options.data_dir, _WHAT, options.data_dir_flag, min_free_bytes=_MIN_FREE_BYTES
    ) as directory:
        store = RegistryStore()
        log = RegistryLog(directory.path / "registry.jsonl", store)
        try:
            app = make_app(store, log, options.allowed_hosts)
            open_note = (
                "" if is_loopback(options.host) else " (reachable from the network, no password)"
            )
            asyncio.run(
                serve_until_signal(
                    app,
                    options.host,
                    options.port,
                    f"schema registry on http://{options.host}:{options.port}{open_note}",
                )
            )
        finally:
            log.close()


def make_app(
    store: RegistryStore, log: RegistryLog, allowed_hosts: tuple[str, ...] = ()
) -> web.Application:
    """The application; `log` must write into `store`."""
    app = web.Application(
        client_max_size=_MAX_REQUEST_BYTES, middlewares=[guard(allowed_hosts, _refused), _errors]
    )
    _Subjects(store, log).add_routes(app.router)
    _Schemas(store).add_routes(app.router)
    _Settings(store, log).add_routes(app.router)
    return app


def _refused(reason: str) -> web.Response:
    return _answer({"error_code": 403, "message": reason}, 403)


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every failure in Confluent's form."""
    try:
        return await handler(request)
    except RegistryError as error:
        return _answer({"error_code": error.code, "message": str(error)}, error.status)
    except web.HTTPException as error:
        message = f"HTTP {error.status} {error.reason}: {request.method} {request.path}"
        return _answer({"error_code": error.status, "message": message}, error.status)
    except OSError as error:
        message = f"Error while writing the registry's log: {error.strerror or error}"
        return _answer({"error_code": 50001, "message": message}, 500)


class _Subjects:
    """Subjects, their versions, and compatibility checks against them."""

    def __init__(self, store: RegistryStore, log: RegistryLog) -> None:
        self._store = store
        self._log = log

    def add_routes(self, router: web.UrlDispatcher) -> None:
        version = "/subjects/{subject}/versions/{version}"
        check = "/compatibility/subjects/{subject}/versions"
        router.add_get("/subjects", self._list)
        router.add_post("/subjects/{subject}", self._look_up)
        router.add_delete("/subjects/{subject}", self._delete)
        router.add_get("/subjects/{subject}/versions", self._versions)
        router.add_post("/subjects/{subject}/versions", self._register)
        router.add_get(version, self._version)
        router.add_delete(version, self._delete)
        router.add_get(f"{version}/schema", self._version_schema)
        router.add_get(f"{version}/referencedby", self._referenced_by)
        router.add_post(check, self._check)
        router.add_post(f"{check}/{{version}}", self._check)

    async def _list(self, request: web.Request) -> web.Response:
        prefix = request.query.get("subjectPrefix", "")
        return _answer(self._store.subjects(prefix, deleted=_flag(request, "deleted")))

    async def _versions(self, request: web.Request) -> web.Response:
        versions = self._store.versions(_subject(request), deleted=_flag(request, "deleted"))
        return _answer([v.number for v in versions])

    async def _version(self, request: web.Request) -> web.Response:
        return _answer(self._full(_subject(request), self._requested(request)))

    async def _version_schema(self, request: web.Request) -> web.Response:
        schema = self._store.schema(self._requested(request).schema_id)
        return web.Response(text=schema.text, content_type=_CONTENT_TYPE)

    async def _referenced_by(self, request: web.Request) -> web.Response:
        number = request.match_info["version"]
        return _answer(self._store.referenced_by(_subject(request), number))

    async def _register(self, request: web.Request) -> web.Response:
        schema = self._store.read_schema(await _body(request))
        subject = _subject(request)
        # No await from plan to commit: two registrations at once see one another.
        record = self._store.plan_register(subject, schema)
        if record is not None:
            self._log.commit(record)
        version = self._store.find(subject, schema)
        assert version is not None, "registered"
        return _answer(self._full(subject, version))

    async def _look_up(self, request: web.Request) -> web.Response:
        subject = _subject(request)
        deleted = _flag(request, "deleted")
        self._store.versions(subject, deleted=deleted)
        schema = self._store.read_schema(await _body(request))
        version = self._store.find(subject, schema, deleted=deleted)
        if version is None:
            raise RegistryError(404, 40403, "Schema not found")
        return _answer(self._full(subject, version))

    async def _delete(self, request: web.Request) -> web.Response:
        number = request.match_info.get("version")
        record = self._store.plan_delete(
            _subject(request), number, permanent=_flag(request, "permanent")
        )
        self._log.commit(record)
        return _answer(record["versions"] if number is None else record["versions"][0])

    async def _check(self, request: web.Request) -> web.Response:
        schema = self._store.read_schema(await _body(request))
        found = self._store.problems(_subject(request), schema, request.match_info.get("version"))
        verbose = {"messages": found} if _flag(request, "verbose") else {}
        return _answer({"is_compatible": not found, **verbose})

    def _requested(self, request: web.Request) -> Version:
        number = request.match_info["version"]
        return self._store.version(_subject(request), number, deleted=_flag(request, "deleted"))

    def _full(self, subject: str, version: Version) -> dict[str, Any]:
        schema = self._store.schema(version.schema_id)
        references = [r.as_json() for r in schema.references]
        return {
            "subject": subject,
            "version": version.number,
            "id": version.schema_id,
            "schema": schema.text,
            **({"references": references} if references else {}),
        }


class _Schemas:
    """Schemas by their id."""

    def __init__(self, store: RegistryStore) -> None:
        self._store = store

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/", self._root)
        # confluent-kafka asks for associations first; an empty list sends it to TopicNameStrategy.
        router.add_get("/associations/resources/{namespace}/{name}", self._associations)
        router.add_get("/schemas/types", self._types)
        router.add_get(r"/schemas/ids/{id:\d{1,9}}", self._by_id)
        router.add_get(r"/schemas/ids/{id:\d{1,9}}/schema", self._text_by_id)
        router.add_get(r"/schemas/ids/{id:\d{1,9}}/versions", self._uses)
        router.add_get(r"/schemas/ids/{id:\d{1,9}}/subjects", self._subjects)

    async def _root(self, _request: web.Request) -> web.Response:
        return _answer({})

    async def _associations(self, _request: web.Request) -> web.Response:
        return _answer([])

    async def _types(self, _request: web.Request) -> web.Response:
        return _answer(["AVRO"])

    async def _by_id(self, request: web.Request) -> web.Response:
        schema = self._store.schema(int(request.match_info["id"]))
        answer: dict[str, Any] = {"schema": schema.text}
        if schema.references:
            answer["references"] = [r.as_json() for r in schema.references]
        if _flag(request, "fetchMaxId"):
            answer["maxId"] = self._store.max_id
        return _answer(answer)

    async def _text_by_id(self, request: web.Request) -> web.Response:
        schema = self._store.schema(int(request.match_info["id"]))
        return web.Response(text=schema.text, content_type=_CONTENT_TYPE)

    async def _uses(self, request: web.Request) -> web.Response:
        uses = self._store.uses(int(request.match_info["id"]))
        return _answer([{"subject": subject, "version": number} for subject, number in uses])

    async def _subjects(self, request: web.Request) -> web.Response:
        return _answer([subject for subject, _ in self._store.uses(int(request.match_info["id"]))])


class _Settings:
    """Compatibility levels and modes, global and by subject."""

    def __init__(self, store: RegistryStore, log: RegistryLog) -> None:
        self._store = store
        self._log = log

    def add_routes(self, router: web.UrlDispatcher) -> None:
        for path in ("/config", "/config/{subject}"):
            router.add_get(path, self._level)
            router.add_put(path, self._set_level)
        router.add_delete("/config/{subject}", self._unset_level)
        for path in ("/mode", "/mode/{subject}"):
            router.add_get(path, self._mode)
            router.add_put(path, self._set_mode)
        router.add_delete("/mode/{subject}", self._unset_mode)

    async def _level(self, request: web.Request) -> web.Response:
        subject = request.match_info.get("subject")
        fallback = subject is None or _flag(request, "defaultToGlobal")
        if subject is not None and not fallback and not self._store.has_level(subject):
            raise RegistryError(
                404,
                40408,
                f"Subject '{subject}' does not have subject-level compatibility configured",
            )
        return _answer({"compatibilityLevel": self._store.level(subject)})

    async def _set_level(self, request: web.Request) -> web.Response:
        level = (await _body(request)).get("compatibility")
        self._log.commit(self._store.plan_level(request.match_info.get("subject"), level))
        return _answer({"compatibility": level})

    async def _unset_level(self, request: web.Request) -> web.Response:
        subject = _subject(request)
        before = self._store.level(subject)
        self._log.commit({"op": "level", "subject": subject, "level": None})
        return _answer({"compatibilityLevel": before})

    async def _mode(self, request: web.Request) -> web.Response:
        subject = request.match_info.get("subject")
        fallback = subject is None or _flag(request, "defaultToGlobal")
        if subject is not None and not fallback and not self._store.has_mode(subject):
            raise RegistryError(
                404, 40409, f"Subject '{subject}' does not have subject-level mode configured"
            )
        return _answer({"mode": self._store.mode(subject)})

    async def _set_mode(self, request: web.Request) -> web.Response:
        mode = (await _body(request)).get("mode")
        self._log.commit(self._store.plan_mode(request.match_info.get("subject"), mode))
        return _answer({"mode": mode})

    async def _unset_mode(self, request: web.Request) -> web.Response:
        subject = _subject(request)
        before = self._store.mode(subject)
        self._log.commit({"op": "mode", "subject": subject, "mode": None})
        return _answer({"mode": before})


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise RegistryError(400, 400, f"The request's body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise RegistryError(400, 400, "The request's body is not a JSON object")
    return body


def _answer(value: Any, status: int = 200) -> web.Response:
    return web.Response(text=json.dumps(value), status=status, content_type=_CONTENT_TYPE)


def _subject(request: web.Request) -> str:
    return request.match_info["subject"]


def _flag(request: web.Request, name: str) -> bool:
    return request.query.get(name, "").lower() == "true"
