"""The Faust worker: processor, checkpoint, output producer, group membership, watchdog."""
