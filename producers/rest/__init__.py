"""What a feed asks an exchange by REST: instruments, snapshots of rates, settled history."""
