-- Every tenant's own metrics, unfolded, for 14 days: what Prometheus shows as `_other` is one query away here.
--
-- Empty unless a second pipeline fills them: metrics as applications send them, before tenant_cardinality, to a
-- clickhouseexporter (v0.161.0) with create_schema: false and
--
--   metrics_tables:
--     gauge: { name: metric_detail_gauge }
--     sum: { name: metric_detail_sum }
--     histogram: { name: metric_detail_histogram }
--
-- which inserts by name the columns from ResourceAttributes on; the first ones are derived here. There is no table for
-- summaries and exponential histograms, which otel-dynabase does not send: filter them out of that pipeline, or their
-- batches are refused and tried for ever. Values are as sent: AggregationTemporality is 1 for delta, 2 for cumulative.
--
-- Read them with FINAL: a batch that was sent twice brings the same rows again. A series is what has one identity: its
-- process, scope and attributes; series of one project and metric are next to each other.
--
--   SELECT TimeUnix, Attributes['status'] AS status, Value
--   FROM metric_detail_sum FINAL
--   WHERE project_id = 'proj_abc123' AND MetricName = 'db.queries' AND TimeUnix > now() - INTERVAL 1 HOUR;
CREATE TABLE IF NOT EXISTS metric_detail_gauge
(
    project_id String MATERIALIZED Attributes['project_id'] CODEC(ZSTD(1)),
    plan LowCardinality(String) MATERIALIZED Attributes['plan'],
    tier LowCardinality(String) MATERIALIZED Attributes['tier'],
    series UInt64 MATERIALIZED cityHash64(
        toString(ResourceAttributes), ScopeName, toString(Attributes)) CODEC(ZSTD(1)),

    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ResourceSchemaUrl LowCardinality(String),
    ScopeName LowCardinality(String),
    ScopeVersion LowCardinality(String),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeDroppedAttrCount UInt32 CODEC(ZSTD(1)),
    ScopeSchemaUrl LowCardinality(String),
    ServiceName LowCardinality(String),
    MetricName LowCardinality(String),
    MetricDescription LowCardinality(String),
    MetricUnit LowCardinality(String),
    Attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    StartTimeUnix DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    TimeUnix DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    Value Float64 CODEC(ZSTD(1)),
    Flags UInt32 CODEC(ZSTD(1)),
    Exemplars Nested
    (
        FilteredAttributes Map(LowCardinality(String), String),
        TimeUnix DateTime64(3, 'UTC'),
        Value Float64,
        SpanId String,
        TraceId String
    ) CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(TimeUnix)
ORDER BY (project_id, MetricName, series, TimeUnix)
TTL toDateTime(TimeUnix) + INTERVAL 14 DAY DELETE
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS metric_detail_sum
(
    project_id String MATERIALIZED Attributes['project_id'] CODEC(ZSTD(1)),
    plan LowCardinality(String) MATERIALIZED Attributes['plan'],
    tier LowCardinality(String) MATERIALIZED Attributes['tier'],
    series UInt64 MATERIALIZED cityHash64(
        toString(ResourceAttributes), ScopeName, toString(Attributes)) CODEC(ZSTD(1)),

    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ResourceSchemaUrl LowCardinality(String),
    ScopeName LowCardinality(String),
    ScopeVersion LowCardinality(String),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeDroppedAttrCount UInt32 CODEC(ZSTD(1)),
    ScopeSchemaUrl LowCardinality(String),
    ServiceName LowCardinality(String),
    MetricName LowCardinality(String),
    MetricDescription LowCardinality(String),
    MetricUnit LowCardinality(String),
    Attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    StartTimeUnix DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    TimeUnix DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    Value Float64 CODEC(ZSTD(1)),
    Flags UInt32 CODEC(ZSTD(1)),
    Exemplars Nested
    (
        FilteredAttributes Map(LowCardinality(String), String),
        TimeUnix DateTime64(3, 'UTC'),
        Value Float64,
        SpanId String,
        TraceId String
    ) CODEC(ZSTD(1)),
    AggregationTemporality Int32 CODEC(ZSTD(1)),
    IsMonotonic Bool
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(TimeUnix)
ORDER BY (project_id, MetricName, series, TimeUnix)
TTL toDateTime(TimeUnix) + INTERVAL 14 DAY DELETE
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS metric_detail_histogram
(
    project_id String MATERIALIZED Attributes['project_id'] CODEC(ZSTD(1)),
    plan LowCardinality(String) MATERIALIZED Attributes['plan'],
    tier LowCardinality(String) MATERIALIZED Attributes['tier'],
    series UInt64 MATERIALIZED cityHash64(
        toString(ResourceAttributes), ScopeName, toString(Attributes)) CODEC(ZSTD(1)),

    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ResourceSchemaUrl LowCardinality(String),
    ScopeName LowCardinality(String),
    ScopeVersion LowCardinality(String),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeDroppedAttrCount UInt32 CODEC(ZSTD(1)),
    ScopeSchemaUrl LowCardinality(String),
    ServiceName LowCardinality(String),
    MetricName LowCardinality(String),
    MetricDescription LowCardinality(String),
    MetricUnit LowCardinality(String),
    Attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    StartTimeUnix DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    TimeUnix DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    Count UInt64 CODEC(ZSTD(1)),
    Sum Float64 CODEC(ZSTD(1)),
    BucketCounts Array(UInt64) CODEC(ZSTD(1)),
    ExplicitBounds Array(Float64) CODEC(ZSTD(1)),
    Exemplars Nested
    (
        FilteredAttributes Map(LowCardinality(String), String),
        TimeUnix DateTime64(3, 'UTC'),
        Value Float64,
        SpanId String,
        TraceId String
    ) CODEC(ZSTD(1)),
    Flags UInt32 CODEC(ZSTD(1)),
    Min Float64 CODEC(ZSTD(1)),
    Max Float64 CODEC(ZSTD(1)),
    AggregationTemporality Int32 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(TimeUnix)
ORDER BY (project_id, MetricName, series, TimeUnix)
TTL toDateTime(TimeUnix) + INTERVAL 14 DAY DELETE
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1;
