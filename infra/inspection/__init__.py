"""How a z-score came to be: its row, its raw record, its baseline, and its arithmetic again."""
