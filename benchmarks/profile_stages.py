"""Which stage of the worker a stack of calls belongs to, by the files of its functions. Pure."""

from __future__ import annotations

from pathlib import Path
from types import CodeType, FrameType

ROOT = f"{Path(__file__).resolve().parents[1]}/"
FAUST = "Faust, aiokafka and the event loop"
NATIVE = "librdkafka's threads"
OTHER_THREADS = "other Python threads"
FETCHER = "fetching"
CORE = "core: "
"""Begins the stages of the core, which are its modules."""

WHOLE: tuple[tuple[str, str], ...] = (
    ("stream_app/worker/checkpoint.py", "making state durable"),
    ("stream_app/worker/probes/", "readiness and metrics"),
)
"""Whatever these call belongs to them."""
OWN: tuple[tuple[str, str], ...] = (
    ("stream_app/normalise/", "reading the exchange's JSON"),
    ("stream_app/worker/output_producer.py", "handing outputs to librdkafka"),
    ("stream_app/worker/fetcher.py", "fetching"),
    ("stream_app/worker/raw_", "fetching"),
    ("stream_app/worker/", "the processor around the core"),
    ("schemas/serde/codec.py:Decoder", "decoding Avro"),
    ("schemas/serde/raw_frames.py", "decoding Avro"),
    ("schemas/serde/", "encoding Avro"),
)
"""What these do themselves, and what libraries do for them. The first that fits counts."""
_CORE_FOLDER = "stream_app/core/"
_known: dict[CodeType, tuple[str | None, str | None]] = {}
"""By function: the stage of all that it calls, and the stage of what it does itself."""


def walk(frame: FrameType | None) -> str:
    """Return the stage of the innermost of our functions on a stack, or of the one around it."""
    found: str | None = None
    while frame is not None:
        stages = _known.get(frame.f_code)
        if stages is None:
            stages = _known[frame.f_code] = _stages_of(frame.f_code)
        around, own = stages
        if around is not None:
            return around
        if found is None:
            found = own
        frame = frame.f_back
    return found or FAUST


def _stages_of(code: CodeType) -> tuple[str | None, str | None]:
    place = placed(code.co_filename, code.co_qualname)
    return (None, None) if place is None else (_matched(WHOLE, place), own_stage(place))


def placed(filename: str, qualname: str) -> str | None:
    """Return a function's place in the repository, `file:name`; None: it is another package's."""
    if not filename.startswith(ROOT) or "site-packages" in filename:
        return None
    return f"{filename.removeprefix(ROOT)}:{qualname}"


def own_stage(place: str) -> str | None:
    """Return the stage of a function by its place; None: it counts to what calls it."""
    if place.startswith(_CORE_FOLDER):
        return CORE + place.removeprefix(_CORE_FOLDER).partition(".py:")[0]
    return _matched(OWN, place)


def thread_stage(name: str) -> str:
    """Return the stage of a thread other than the main one, by its name."""
    return FETCHER if "fetch" in name.lower() else OTHER_THREADS


def _matched(rules: tuple[tuple[str, str], ...], place: str) -> str | None:
    return next((stage for prefix, stage in rules if place.startswith(prefix)), None)
