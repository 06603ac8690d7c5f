"""The embedded stack: PostgreSQL, a ClickHouse engine, the collector and Prometheus, all real, without Docker."""
