"""The programs that fundingstream's worker is measured against. Each runs as its own process."""
