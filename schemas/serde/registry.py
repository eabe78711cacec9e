"""Schemas in a Confluent Schema Registry: `fundingstream topics` registers them, all look them up.

A thin layer over confluent-kafka's client that turns its errors into ours.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from schemas.config.settings import SharedSettings, shown_url
from schemas.errors import SchemaError, UnavailableError
from schemas.records import RecordType
from schemas.serde.codec import Decoder, Encoder
from schemas.topics import TopicSpec

COMPATIBILITY = "BACKWARD"
_NOT_FOUND = 404
_CONFLICT = 409


class SchemaCatalog:
    """Gives encoders and decoders for topics. Calls block: build them before an event loop runs."""

    def __init__(self, settings: SharedSettings, *, answer_within_s: float | None = None) -> None:
        """`answer_within_s`: ask once and wait so long; None: ask again, and wait longer.

        Raises:
            ConfigurationError: a file for TLS cannot be used.
        """
        self._url = shown_url(settings.registry_url)
        self._tls = settings.registry_tls
        once = {"timeout": answer_within_s, "max.retries": 0} if answer_within_s else {}
        self._client: Any = SchemaRegistryClient({**settings.schema_registry(), **once})
        self._text_by_id = lru_cache(maxsize=1024)(self._fetch_text)

    def require_answer(self) -> None:
        """Check that the registry answers. Raises UnavailableError."""
        try:
            self._client.get_subjects()
        except Exception as error:
            raise self._unavailable(error) from error

    def register(self, topic: TopicSpec) -> int:
        """Register a topic's schema under BACKWARD compatibility and return its id.

        Raises:
            SchemaError: the registry holds an older version that readers of this one cannot read.
            UnavailableError: the registry does not answer.
        """
        schema = _schema(topic)
        try:
            self._client.set_compatibility(subject_name=topic.subject, level=COMPATIBILITY)
            schema_id: int = self._client.register_schema(topic.subject, schema)
        except SchemaRegistryError as error:
            if error.http_status_code == _CONFLICT:
                raise SchemaError(
                    f"the schema of {topic.subject} is not {COMPATIBILITY} compatible with the "
                    f"registered one: {error.error_message}"
                ) from error
            raise self._unavailable(error) from error
        except Exception as error:  # the client lets errors of its HTTP library through
            raise self._unavailable(error) from error
        return schema_id

    def encoder(self, topic: TopicSpec) -> Encoder:
        """Return the encoder of a topic whose schema was registered by `fundingstream topics`."""
        assert topic.record_type is not None
        try:
            found = self._client.lookup_schema(topic.subject, _schema(topic))
        except SchemaRegistryError as error:
            if error.http_status_code == _NOT_FOUND:
                raise SchemaError(
                    f"this version's schema of {topic.subject} is not registered at {self._url}: "
                    "run `fundingstream topics`"
                ) from error
            raise self._unavailable(error) from error
        except Exception as error:
            raise self._unavailable(error) from error
        return Encoder(topic.record_type, int(found.schema_id))

    def decoder(self, record_type: RecordType) -> Decoder:
        """Return a decoder that reads every registered version of a record type."""
        return Decoder(record_type, self._text_by_id)

    def schema_text(self, schema_id: int) -> str:
        """Return the text of a registered schema, kept after the first time."""
        return self._text_by_id(schema_id)

    def _fetch_text(self, schema_id: int) -> str:
        try:
            text: str = self._client.get_schema(schema_id).schema_str
        except SchemaRegistryError as error:
            if error.http_status_code == _NOT_FOUND:
                raise SchemaError(f"schema {schema_id} is unknown at {self._url}") from error
            raise self._unavailable(error) from error
        except Exception as error:
            raise self._unavailable(error) from error
        return text

    def _unavailable(self, error: Exception) -> UnavailableError:
        advice = self._tls.advice(error) or "start it, or set FUNDING_REGISTRY_URL"
        return UnavailableError(
            f"the schema registry at {self._url} does not answer ({error}): {advice}"
        )


def _schema(topic: TopicSpec) -> Schema:
    assert topic.record_type is not None
    return Schema(topic.record_type.text, "AVRO")
