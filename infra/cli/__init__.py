"""The console script `fundingstream`."""
