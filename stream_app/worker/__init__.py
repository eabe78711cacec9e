"""The Faust worker: processor, output producer, group membership, watchdog."""
