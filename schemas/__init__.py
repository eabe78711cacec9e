"""The contract shared by every part: records, topics, codec, settings, errors.

Imports nothing of ours.
"""

__version__ = "0.1.0"
