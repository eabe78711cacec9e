"""The request that removes static members from a group (KIP-345), which aiokafka does not have.

aiokafka speaks LeaveGroup up to version 1, with which a member can only remove itself. Version 3
names members with their instance: one whose member id has changed since is not removed.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int16, Int32, Schema, String

from stream_app.worker.peers import Member

_TEXT = String("utf-8")


class _LeaveGroupResponseV3(Response):  # type: ignore[misc]
    API_KEY = 13
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "members",
            Array(("member_id", _TEXT), ("group_instance_id", _TEXT), ("error_code", Int16)),
        ),
    )


class _LeaveGroupRequestV3(RequestStruct):  # type: ignore[misc]
    API_KEY = 13
    API_VERSION = 3
    RESPONSE_TYPE = _LeaveGroupResponseV3
    SCHEMA = Schema(
        ("group", _TEXT),
        ("members", Array(("member_id", _TEXT), ("group_instance_id", _TEXT))),
    )


class RemoveMembersRequest(Request[_LeaveGroupRequestV3]):  # type: ignore[misc]
    """Asks the group to forget members."""

    API_KEY = 13

    def __init__(self, group: str, members: Sequence[Member]) -> None:
        self._group = group
        self._members = [(member.member_id, member.name) for member in members]

    def build(self, request_struct_class: type[_LeaveGroupRequestV3]) -> _LeaveGroupRequestV3:
        """Return the request as it is sent."""
        return request_struct_class(self._group, self._members)
