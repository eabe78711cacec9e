"""The encoders of all that a worker publishes, with a schema id that no registry gave."""

from __future__ import annotations

from schemas import topics
from schemas.serde.codec import Encoder
from stream_app.worker.output_producer import PUBLISHED

OUTPUT_ENCODERS = {
    topic.name: Encoder(topic.record_type, 0)
    for topic in (*PUBLISHED, topics.WORKERS)
    if topic.record_type is not None
}
