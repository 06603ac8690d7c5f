"""What is asked of the stored events: named queries, each a file beside this one.

The commands run them; so may any other client, with the parameters that each file's first lines explain:

    clickhouse-client --param_project=proj_abc123 --param_since='2026-11-24 00:00:00' … --queries-file timeline.sql
"""

from __future__ import annotations

from importlib.resources import files


def query(name: str) -> str:
    """Return a named query's text. Raises FileNotFoundError."""
    return files(__name__).joinpath(f"{name}.sql").read_text()
