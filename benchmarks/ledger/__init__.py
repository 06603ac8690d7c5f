"""No event is lost, and none is counted twice, whoever is killed: `python -m benchmarks.ledger --help`."""
