"""The settings that every part shares, checks of their values, and the files of TLS."""
