"""From raw records to rates, z-scores and alerts (worker), ClickHouse (sink), the page (web)."""
