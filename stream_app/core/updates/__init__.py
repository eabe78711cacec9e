"""How an update is judged before it counts: admission, order, plausibility. Pure."""
