-- Who may do what: applied by `otel-dynabase migrate --roles`, which an administrator runs; it can be run again.
--
--   CREATE USER collector IDENTIFIED BY '…' DEFAULT ROLE dynabase_writer; GRANT dynabase_writer TO collector;
--   CREATE USER grafana IDENTIFIED BY '…' DEFAULT ROLE dynabase_reader; GRANT dynabase_reader TO grafana;
--   otel-dynabase customer proj_abc123     a reader who sees one project, in every table
--
-- A server that has `select_from_system_db_requires_grant` (the shipped configuration does) keeps its system tables to
-- itself; otherwise all readers see how many rows the tables that they may read have in each part.

-- The collector: inserts, and reads nothing. The exporter looks at a table's columns when it starts, for which INSERT is
-- enough.
CREATE ROLE IF NOT EXISTS dynabase_writer;
GRANT INSERT ON tier_events TO dynabase_writer;
GRANT INSERT ON metric_detail_gauge TO dynabase_writer;
GRANT INSERT ON metric_detail_sum TO dynabase_writer;
GRANT INSERT ON metric_detail_histogram TO dynabase_writer;

-- People and dashboards of the platform: read everything, change nothing.
CREATE ROLE IF NOT EXISTS dynabase_reader;
GRANT SELECT ON tier_events TO dynabase_reader;
GRANT SELECT ON tier_events_daily TO dynabase_reader;
GRANT SELECT ON metric_detail_gauge TO dynabase_reader;
GRANT SELECT ON metric_detail_sum TO dynabase_reader;
GRANT SELECT ON metric_detail_histogram TO dynabase_reader;
GRANT SELECT ON dynabase_migrations TO dynabase_reader;

-- A customer: reads the same tables, and of each only the rows of one project. By itself the role shows no row at all; a
-- policy of the user's own, which `otel-dynabase customer` makes, adds the project's.
CREATE ROLE IF NOT EXISTS dynabase_customer;
GRANT SELECT ON tier_events TO dynabase_customer;
GRANT SELECT ON tier_events_daily TO dynabase_customer;
GRANT SELECT ON metric_detail_gauge TO dynabase_customer;
GRANT SELECT ON metric_detail_sum TO dynabase_customer;
GRANT SELECT ON metric_detail_histogram TO dynabase_customer;

CREATE ROW POLICY IF NOT EXISTS dynabase_none
ON tier_events, tier_events_daily, metric_detail_gauge, metric_detail_sum, metric_detail_histogram
FOR SELECT USING 0 TO dynabase_customer;

-- Where a server is set up so that a table with a policy shows nothing to whom no policy names.
CREATE ROW POLICY IF NOT EXISTS dynabase_all
ON tier_events, tier_events_daily, metric_detail_gauge, metric_detail_sum, metric_detail_histogram
FOR SELECT USING 1 TO ALL EXCEPT dynabase_customer;

-- Who runs `otel-dynabase migrate` without --roles. The daily count goes on with these rights: do not take them away.
CREATE ROLE IF NOT EXISTS dynabase_migrator;
GRANT SELECT, INSERT, ALTER, CREATE TABLE, CREATE VIEW, SYSTEM VIEWS ON * TO dynabase_migrator;
GRANT SELECT ON system.parts TO dynabase_migrator;
GRANT SELECT ON system.tables TO dynabase_migrator;
