"""What was measured, as one dictionary: numbers without the libraries' names in them, and without what is zero."""

TOTALS = {
    "waits": "db.client.connection.wait_time",
    "uses": "db.client.connection.use_time",
    "creates": "db.client.connection.create_time",
    "timeouts": "db.client.connection.timeouts",
    "queued": "tenant.limit.queue.duration",
    "cold starts": "tenant.cold_starts",
    "first queries": "tenant.first_query.latency",
}
BY_LABEL = {
    "queries": ("db.client.operation.duration", "db.operation.name"),
    "errors": ("db.errors", "error_type"),
    "rejections": ("tenant.connection.rejections", "reason"),
}


def measured(telemetry, **labels):
    """Return everything counted so far, of all tenants or of one."""
    points = telemetry.collect()
    found = {name: telemetry.value(metric, points, **labels) for name, metric in TOTALS.items()}
    for name, (metric, label) in BY_LABEL.items():
        totals = telemetry.values(metric, label, points, **labels)
        found[name] = {value: count for value, count in totals.items() if count}
    found["rows"] = sum(
        point.sum for _, point in telemetry.points("db.client.response.returned_rows", points, **labels)
    )
    hits = {}
    for attributes, point in telemetry.points("tenant.limit.hits", points, **labels):
        if point.value:
            key = (attributes["limit_type"], attributes["action"])
            hits[key] = hits.get(key, 0) + point.value
    found["limit hits"] = hits
    return {name: value for name, value in found.items() if value}


def gauges(telemetry, **labels):
    """Return the pools' state now, without what is zero."""
    points = telemetry.collect()
    state = telemetry.values("db.client.connection.count", "db.client.connection.state", points, **labels)
    found = {
        "idle": state.get("idle", 0),
        "used": state.get("used", 0),
        "max": telemetry.value("db.client.connection.max", points, **labels),
        "pending": telemetry.value("db.client.connection.pending_requests", points, **labels),
        "active": telemetry.value("db.active_connections", points),
        "queue": telemetry.value("tenant.connection.queue_depth", points),
    }
    return {name: value for name, value in found.items() if value}
