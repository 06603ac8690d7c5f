"""The stored events: how to reach ClickHouse, its schema, and what is asked of it."""
