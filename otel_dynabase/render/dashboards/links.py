"""Where a value leads to: one project's dashboard, or a trace."""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import quote

TENANT: Final = "dynabase-tenant"
TRACES: Final = "dynabase-traces"
"""The uid of the store of traces, as collector/grafana/provisioning has it."""
KEPT: Final = "${prometheus:queryparam}&${clickhouse:queryparam}&${__url_time_range}"
PANES: Final = {
    "trace": {
        "datasource": TRACES,
        "queries": [{"refId": "A", "queryType": "traceql", "query": "${__value.raw}"}],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
}
TRACE: Final = ("Trace", f"/explore?schemaVersion=1&panes={quote(json.dumps(PANES), safe='${}_.')}")
"""Of a cell that holds a trace's id."""


def tenant(project: str) -> tuple[str, str]:
    """Return the link to a project's dashboard; `project` is what Grafana puts the project's id in for."""
    return "Tenant", f"/d/{TENANT}?var-project={project}&{KEPT}"


OF_ROW: Final = tenant("${__data.fields.project_id:percentencode}")
OF_SERIES: Final = tenant("${__field.labels.project_id:percentencode}")


def data(link: tuple[str, str]) -> dict[str, str]:
    """Return a link as Grafana's model of a data link."""
    title, url = link
    return {"title": title, "url": url}
