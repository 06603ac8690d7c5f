-- Every event of every tenant, once, for 90 days.
--
-- The collector's clickhouseexporter (v0.161.0, create_schema: false) inserts into it by name: Timestamp … EventName
-- below are the columns of its INSERT; everything after them is derived here, when a row is written. No derivation can
-- fail: a malformed attribute becomes 0 or empty, or one bad event would block the collector's queue for good.
--
-- Read it with FINAL: a batch that the collector sends again, because an answer got lost, brings the same rows again;
-- they have the same sort key, and FINAL shows one of them: the one with the highest event_revision, so that an amended
-- event stays amended, whichever copy arrives last. MATERIALIZED columns are not in `*`: name them.
CREATE TABLE IF NOT EXISTS tier_events
(
    -- as the exporter writes them
    Timestamp DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    TraceFlags UInt8,
    SeverityText LowCardinality(String),
    SeverityNumber UInt8,
    ServiceName LowCardinality(String),
    Body String CODEC(ZSTD(1)),
    ResourceSchemaUrl LowCardinality(String),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeSchemaUrl LowCardinality(String),
    ScopeName LowCardinality(String),
    ScopeVersion LowCardinality(String),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    LogAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    -- An exporter that could not reach ClickHouse when it started leaves this column out until it is restarted;
    -- otelcol-config.yaml therefore sends the name as an attribute too.
    EventName LowCardinality(String) DEFAULT LogAttributes['event.name'],

    -- identity; an event without a valid event_id is identified by its content
    event_id UUID MATERIALIZED toUUIDOrDefault(
        LogAttributes['event_id'],
        reinterpret(sipHash128(ServiceName, TraceId, SpanId, Body, toString(LogAttributes)), 'UUID')),
    event_seq UInt64 MATERIALIZED toUInt64OrZero(LogAttributes['event_seq']) CODEC(ZSTD(1)),
    -- 0 as it was told first; one more each time that it was told again with more in it
    event_revision UInt32 MATERIALIZED toUInt32OrZero(LogAttributes['event_revision']) CODEC(ZSTD(1)),
    service_instance_id String MATERIALIZED ResourceAttributes['service.instance.id'] CODEC(ZSTD(1)),
    timestamp DateTime64(9, 'UTC') ALIAS Timestamp,
    event_type LowCardinality(String) MATERIALIZED EventName,

    -- whose
    project_id String MATERIALIZED LogAttributes['project_id'] CODEC(ZSTD(1)),
    tenant_id String MATERIALIZED LogAttributes['tenant_id'] CODEC(ZSTD(1)),
    plan LowCardinality(String) MATERIALIZED LogAttributes['plan'],
    tier LowCardinality(String) MATERIALIZED LogAttributes['tier'],

    -- what
    source_tier LowCardinality(String) MATERIALIZED LogAttributes['source_tier'],
    target_tier LowCardinality(String) MATERIALIZED LogAttributes['target_tier'],
    limit_type LowCardinality(String) MATERIALIZED LogAttributes['limit_type'],
    action LowCardinality(String) MATERIALIZED LogAttributes['action'],
    reason LowCardinality(String) MATERIALIZED LogAttributes['reason'],
    cache_level LowCardinality(String) MATERIALIZED LogAttributes['cache_level'],
    -- plans, under the ticket's names for them
    from_tier LowCardinality(String) MATERIALIZED LogAttributes['from_tier'],
    to_tier LowCardinality(String) MATERIALIZED LogAttributes['to_tier'],
    change_type LowCardinality(String) MATERIALIZED LogAttributes['change_type'],
    resource_type LowCardinality(String) MATERIALIZED LogAttributes['resource_type'],
    state LowCardinality(String) MATERIALIZED LogAttributes['state'],
    -- why the platform decided as it did, and what else it said: JSON
    trigger_conditions String MATERIALIZED LogAttributes['trigger_conditions'] CODEC(ZSTD(1)),
    metadata String MATERIALIZED LogAttributes['metadata'] CODEC(ZSTD(1)),
    phases String MATERIALIZED LogAttributes['phases'] CODEC(ZSTD(1)),
    -- how many hits one event stands for: sum it, do not count rows
    hit_count UInt64 MATERIALIZED toUInt64OrDefault(LogAttributes['hit_count'], 1::UInt64) CODEC(ZSTD(1)),
    queue_depth UInt64 MATERIALIZED toUInt64OrZero(LogAttributes['queue_depth']) CODEC(ZSTD(1)),
    rejection_count UInt64 MATERIALIZED toUInt64OrZero(LogAttributes['rejection_count']) CODEC(ZSTD(1)),
    -- NULL where nothing was measured: an average over zeros would flatter
    queue_duration_ms Nullable(Float64) MATERIALIZED toFloat64OrNull(LogAttributes['queue_duration_ms']),
    startup_duration_ms Nullable(Float64) MATERIALIZED toFloat64OrNull(LogAttributes['startup_duration_ms']),
    first_query_latency_ms Nullable(Float64) MATERIALIZED toFloat64OrNull(LogAttributes['first_query_latency_ms']),
    idle_duration_sec Nullable(Float64) MATERIALIZED toFloat64OrNull(LogAttributes['idle_duration_sec']),
    hit_count_24h Nullable(UInt64) MATERIALIZED toUInt64OrNull(LogAttributes['hit_count_24h']),
    hit_rate Nullable(Float64) MATERIALIZED toFloat64OrNull(LogAttributes['hit_rate']),
    expected_rate Nullable(Float64) MATERIALIZED toFloat64OrNull(LogAttributes['expected_rate']),
    deviation Nullable(Float64) MATERIALIZED toFloat64OrNull(LogAttributes['deviation'])
)
ENGINE = ReplacingMergeTree(event_revision)
-- By day: what is 90 days old goes as whole files, on the day it is due and without rewriting anything, and a batch that
-- was sent twice always meets its first copy in the same partition.
PARTITION BY toDate(Timestamp)
-- One project's history of one type is one range of rows; event_id last, so that the same event is the same key. The
-- index in memory does without it.
PRIMARY KEY (project_id, event_type, Timestamp)
ORDER BY (project_id, event_type, Timestamp, event_id)
TTL toDateTime(Timestamp) + INTERVAL 90 DAY DELETE
SETTINGS
    -- a project has a few events a day: a granule of the default's 8192 rows would be read for the sake of ten
    index_granularity = 256,
    ttl_only_drop_parts = 1,
    -- a retried INSERT of an identical batch is dropped before it is even written; FINAL is for the other cases
    non_replicated_deduplication_window = 1000;
