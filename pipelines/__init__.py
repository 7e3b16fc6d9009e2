"""Wiring: which step feeds which, and the ZenML stack they run on. No arithmetic."""
