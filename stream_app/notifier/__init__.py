"""Takes alerts out of the house: rules, messages, and who was told what (docs/alerts-out.md)."""
