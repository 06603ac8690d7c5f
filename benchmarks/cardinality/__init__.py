"""Series are bounded and sums exact while tenants come and go: `python -m benchmarks.cardinality --help`."""
