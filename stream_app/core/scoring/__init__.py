"""From settlements and a rate to a score: statistics, baselines, zones, excursions. Pure."""
