"""When settled history is fetched: steps and schedules. Pure."""
