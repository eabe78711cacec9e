"""Simulated exchanges: a market with a known truth, served over the exchanges' own protocols.

Written from the fact sheet of the exchanges alone; imports neither `producers` nor `stream_app`,
so that a misreading of a payload does not cancel itself out.
"""
