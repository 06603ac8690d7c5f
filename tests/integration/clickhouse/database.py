"""A database in a test: what is put into it, and what it says."""

import json
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from examples.stack.clickhouse import ClickHouse
from otel_dynabase.clickhouse.connection import Connection
from otel_dynabase.clickhouse.settings import ClickHouseConfig


def days_ago(days):
    """Return noon UTC of a day."""
    return datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=days)


@dataclass
class Database:
    server: ClickHouse
    name: str
    connection: Connection

    @classmethod
    @contextmanager
    def connect(cls, server, name, **user):
        config = ClickHouseConfig.load({}, clickhouse_url=server.url, clickhouse_database=name, **user)
        with Connection(config) as connection:
            yield cls(server, name, connection)

    def as_user(self, user, password):
        """Connect to the same database as somebody else."""
        return self.connect(self.server, self.name, clickhouse_user=user, clickhouse_password=password)

    def asked_by(self, user, password, sql):
        """Run one statement as somebody else; return its rows as lists of text. Raises examples.…ClickHouseError."""
        parameters = {"database": self.name, "user": user, "password": password}
        return [line.split("\t") for line in self.server.execute(sql, parameters=parameters).splitlines()]

    def rows(self, sql, /, **values):
        return [tuple(row.values()) for row in self.connection.rows(sql, **values)]

    def one(self, sql, /, **values):
        """Return the only value of the only row."""
        [[value]] = self.rows(sql, **values)
        return value

    def execute(self, sql):
        self.connection.execute(sql)

    def insert(self, table, *rows):
        """Insert rows by one INSERT, as the collector does: with columns by name."""
        data = "\n".join(json.dumps(row, default=str) for row in rows).encode()
        columns = ", ".join(rows[0])
        parameters = {"database": self.name, "date_time_input_format": "best_effort"}
        self.server.execute(f"INSERT INTO {table} ({columns}) FORMAT JSONEachRow", data=data, parameters=parameters)

    def store(self, *events, at=None):
        """Insert events, given by their attributes, by one INSERT."""
        when = (at or days_ago(0)).isoformat()
        self.insert("tier_events", *({"Timestamp": when, "LogAttributes": event} for event in events))

    def count(self):
        """Count the days now, and wait until it is done."""
        self.execute("SYSTEM REFRESH VIEW tier_events_daily_count")
        self.execute("SYSTEM WAIT VIEW tier_events_daily_count")
