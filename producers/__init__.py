"""Producers: exchange messages to raw records on Kafka. They slice and route, and know no numbers.

Never imports stream_app.
"""
