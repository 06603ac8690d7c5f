"""An ordinary day with six incidents, and who is told what: `python -m benchmarks.noise --help`."""
