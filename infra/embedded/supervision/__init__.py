"""Child processes: started, kept running, checked for readiness, ended."""
