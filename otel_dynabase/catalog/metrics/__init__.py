"""Every metric, once. Series, data points, documents and the collector's allow-list are derived from these lines.

Sources and meanings: the reference page that is generated from here. Names are OpenTelemetry names; Prometheus shows
`db.query.duration` in seconds as `db_query_duration_seconds`, and a counter with `_total` behind it.
"""

from otel_dynabase.catalog.kinds import Metric
from otel_dynabase.catalog.metrics.client import *
from otel_dynabase.catalog.metrics.enforcement import *
from otel_dynabase.catalog.metrics.itself import *
from otel_dynabase.catalog.metrics.objectives import *
from otel_dynabase.catalog.metrics.platform import *

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All of them."""
