"""Settings that every part shares, the forms of their values, TLS files."""
