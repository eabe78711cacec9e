"""What supervisors and Prometheus read of one worker: is it alive, ready, and how does it do."""
