"""The same schema on a cluster: each statement rendered for all its servers, so that there is no second copy to keep.

A table becomes two: `tier_events_local` on each server, replicated within its shard, and over all shards the
Distributed table `tier_events`, through which everybody reads and writes. A project is whole on one shard: its history
is one server's work, and the copies of one event meet each other.

The servers need Keeper, the macros {shard} and {replica}, and `internal_replication` in the cluster's definition.
"""

from __future__ import annotations

import re
from typing import Final

from otel_dynabase.clickhouse.quoting import literal

SHARDED: Final = {
    # Distributed computes it from what is inserted, and derived columns are no part of that.
    "tier_events": "LogAttributes['project_id']",
    "tier_events_daily": "project_id",
    "metric_detail_gauge": "Attributes['project_id']",
    "metric_detail_sum": "Attributes['project_id']",
    "metric_detail_histogram": "Attributes['project_id']",
}
"""Every table with rows of projects, which are spread over the shards by project; and where that is in each."""
SHARDED_NAME: Final = re.compile(rf"\b({'|'.join(SHARDED)})\b")
HEAD: Final = re.compile(
    r"(CREATE|DROP) (?P<kind>TABLE|MATERIALIZED VIEW|ROLE|USER|ROW POLICY) (IF NOT EXISTS |OR REPLACE )?"
    r"(?P<name>`([^`\\]|\\.)*`|\w+)"
)
ENGINE: Final = re.compile(r"^ENGINE = (?P<family>\w*MergeTree)\b(\((?P<arguments>.*)\))?", re.MULTILINE)


def render(statement: str, cluster: str, database: str) -> list[str]:
    """Return what to run once, on any server of a cluster, in place of a statement for a single server.

    Raises ValueError for a statement of another kind than the project's SQL files have.
    """
    everywhere = f"ON CLUSTER {literal(cluster)}"
    if statement.startswith("GRANT "):
        return _both(statement.replace("GRANT", f"GRANT {everywhere}", 1))
    head = HEAD.match(statement)
    if head is None:
        raise ValueError(f"this cannot be rendered for a cluster: {statement[:60]}")
    begin, rest = statement[: head.end()], statement[head.end() :]
    if head["kind"] == "TABLE":
        return _table(begin, head["name"], rest, everywhere, (cluster, database))
    if head["kind"] == "MATERIALIZED VIEW":
        # a server that is told to create it may be in another database
        rest = SHARDED_NAME.sub(r"\1_local", rest).replace("currentDatabase()", literal(database))
    elif head["kind"] == "ROW POLICY":
        tables, separator, condition = rest.partition(" FOR ")
        rest = SHARDED_NAME.sub(r"\1, \1_local", tables) + separator + condition
    return [f"{begin} {everywhere}{rest}"]


def _both(statement: str) -> list[str]:
    """Return a statement about the Distributed table, and the same about what is behind it."""
    local = SHARDED_NAME.sub(r"\1_local", statement)
    return [statement] if local == statement else [statement, local]


def _table(begin: str, name: str, rest: str, everywhere: str, where: tuple[str, str]) -> list[str]:
    cluster, database = where
    if name not in SHARDED:  # the same rows on every server of every shard
        path = literal(f"/clickhouse/tables/{database}/{name}") + ", '{shard}-{replica}'"
        return [f"{begin} {everywhere}{_replicated(rest, path)}"]
    arguments = ", ".join((literal(cluster), literal(database), literal(f"{name}_local")))
    return [
        f"{begin}_local {everywhere}{_replicated(rest)}",
        f"{begin} {everywhere} AS {name}_local\nENGINE = Distributed({arguments}, cityHash64({SHARDED[name]}))",
    ]


def _replicated(rest: str, path: str = "") -> str:
    """Replace the engine by its replicated kind; without a path it is the server's default."""

    def engine(found: re.Match[str]) -> str:
        arguments = ", ".join(filter(None, (path, found["arguments"])))
        return f"ENGINE = Replicated{found['family']}" + (f"({arguments})" if arguments else "")

    return ENGINE.sub(engine, rest, count=1)
