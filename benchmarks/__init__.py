"""Benchmarks: what fundingstream costs, measured. Not part of the installed package."""
