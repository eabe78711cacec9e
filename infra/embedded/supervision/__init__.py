"""Starts child processes, checks their readiness, keeps them running and ends them."""
