-- A log of every change of plan and tier, for OTEL_DYNABASE_OBSERVE_CHANGES_QUERY=shipped. PostgreSQL 13 or later.
--
-- Without it the observer compares the directory with what it saw last, and cannot see a change that is undone between two
-- looks. Run this in the directory's database; put your table's name in the place of dynabase_tenants. It may have columns
-- tenant_id, tier_reason, scale_reason and change_type: they are logged if they are there.
CREATE TABLE IF NOT EXISTS dynabase_tenant_changes (
    change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- who reads by it needs no lock: see QUERY in journal.py
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    project_id text NOT NULL,
    tenant_id text,
    old_plan text,
    new_plan text,  -- NULL with new_tier: the project was deleted
    old_tier text,
    new_tier text,
    tier_reason text,
    scale_reason text,
    change_type text
);
CREATE INDEX IF NOT EXISTS dynabase_tenant_changes_order ON dynabase_tenant_changes (transaction_id, change_id);

CREATE OR REPLACE FUNCTION dynabase_log_tenant_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before jsonb := to_jsonb(OLD);
    after jsonb := CASE WHEN TG_OP = 'DELETE' THEN '{}' ELSE to_jsonb(NEW) END;
BEGIN
    INSERT INTO dynabase_tenant_changes
        (project_id, tenant_id, old_plan, new_plan, old_tier, new_tier, tier_reason, scale_reason, change_type)
    VALUES (
        coalesce(after ->> 'project_id', before ->> 'project_id'),
        coalesce(after ->> 'tenant_id', before ->> 'tenant_id'),
        before ->> 'plan', after ->> 'plan', before ->> 'tier', after ->> 'tier',
        after ->> 'tier_reason', after ->> 'scale_reason', after ->> 'change_type'
    );
    RETURN NULL;
END
$$;

DROP TRIGGER IF EXISTS dynabase_log_tenant_update ON dynabase_tenants;
CREATE TRIGGER dynabase_log_tenant_update AFTER UPDATE ON dynabase_tenants
    FOR EACH ROW WHEN (OLD.plan IS DISTINCT FROM NEW.plan OR OLD.tier IS DISTINCT FROM NEW.tier)
    EXECUTE FUNCTION dynabase_log_tenant_change();
DROP TRIGGER IF EXISTS dynabase_log_tenant_delete ON dynabase_tenants;
CREATE TRIGGER dynabase_log_tenant_delete AFTER DELETE ON dynabase_tenants
    FOR EACH ROW EXECUTE FUNCTION dynabase_log_tenant_change();

-- The log grows by a row for each change. What the observer has read may go, for example once a day:
--   DELETE FROM dynabase_tenant_changes WHERE changed_at < now() - interval '7 days';
-- After restoring it into another cluster, where transactions are numbered anew, empty it and delete the observer's state.
