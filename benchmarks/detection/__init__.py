"""Seconds from the start of a fault to somebody being told: `python -m benchmarks.detection --help`."""
