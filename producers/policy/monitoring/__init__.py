"""What is reported of a feed: silence, gaps, state, clocks, counts and listings. Pure."""
