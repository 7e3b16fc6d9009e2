"""Measurements, as ratios within one run: `python -m benchmarks NAME`. Nothing here is asserted in a test."""
