"""Finds out what is wrong with an installation: findings, the checks that make them, the report."""
