"""Backtests: models fitted again and again on their way through the past, and what they predicted there."""
