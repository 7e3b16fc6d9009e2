"""Forecasts from recent history: what callers send or observed, and what answers where some of it is missing."""
