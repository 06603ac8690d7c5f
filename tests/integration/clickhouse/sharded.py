"""An engine that is the first of two shards, the second being away; run as a program, it says which events it has.

Everything of the rendered schema is run but replication and ON CLUSTER, which need Keeper.
"""

import json
import sys
from pathlib import Path

from chdb.session import Session

from otel_dynabase.clickhouse import cluster, migrations

CONFIG = """\
<clickhouse><tcp_port>9000</tcp_port><remote_servers><events>
  <shard><replica><host>localhost</host><port>9000</port></replica></shard>
  <shard><replica><host>localhost</host><port>1</port></replica></shard>
</events></remote_servers></clickhouse>
"""
EVENTS = """
INSERT INTO tier_events (Timestamp, EventName, LogAttributes)
SELECT toDateTime64(today(), 9) + number, 'cold_start', map(
    'project_id', 'proj_' || toString(number % 20), 'event_id', toString(toUUID(MD5(toString(number)))))
FROM numbers(1000)
"""
QUESTIONS = {
    "rows": "SELECT count() FROM tier_events_local",
    "here": "SELECT project_id, count() FROM tier_events_local FINAL GROUP BY ALL ORDER BY ALL",
    "everywhere": "SELECT project_id, count() FROM tier_events FINAL GROUP BY ALL ORDER BY ALL",
    "counted": "SELECT project_id, sum(events) FROM tier_events_daily FINAL GROUP BY ALL ORDER BY ALL",
}


def main():
    folder = Path(sys.argv[1])
    config = folder / "config.xml"
    config.write_text(CONFIG)
    session = Session(f"{folder / 'data'}?config-file={config}")
    for statement in (statement for migration in migrations.known() for statement in migration.statements):
        for rendered in cluster.render(statement, "events", "default"):
            session.query(rendered.replace(" ON CLUSTER 'events'", "").replace("ENGINE = Replicated", "ENGINE = "))
    session.query(EVENTS)
    session.query(EVENTS.replace("numbers(1000)", "numbers(999)"))  # another block: it is not refused as the same
    session.query("SYSTEM REFRESH VIEW tier_events_daily_count")
    session.query("SYSTEM WAIT VIEW tier_events_daily_count")
    session.query("SET skip_unavailable_shards = 1")
    said = {name: json.loads(session.query(sql, "JSONCompact").data())["data"] for name, sql in QUESTIONS.items()}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
