"""What is checked before an update counts: its bounds, and whether its symbol is listed. Pure."""
