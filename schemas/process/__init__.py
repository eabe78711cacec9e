"""Parts of every process of fundingstream: its log, lock files, files replaced in one step."""
