"""`fundingstream up`: the whole of fundingstream on one machine."""
