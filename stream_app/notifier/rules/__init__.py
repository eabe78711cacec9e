"""What a rule is, when it fires, and what becomes of it then. Pure: times are arguments."""
