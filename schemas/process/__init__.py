"""What every process of fundingstream has: log format, lock files."""
