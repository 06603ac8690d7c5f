"""The embedded stack: PostgreSQL, ClickHouse, the collector, Prometheus and Alertmanager, all real, without Docker."""
