-- The database of StreamFlow: four schemas, one owner of each kind of row.
-- Every statement may run again on any older version of this file; that is the migration.
-- A new column is a CREATE TABLE line for new databases and an ALTER TABLE … ADD COLUMN
-- IF NOT EXISTS below its table for the ones that exist.

CREATE SCHEMA IF NOT EXISTS source;    -- monthly snapshots, written by `ingest` alone
CREATE SCHEMA IF NOT EXISTS registry;  -- Feast's SQL registry, written by `apply` alone
CREATE SCHEMA IF NOT EXISTS online;    -- newest values, written by `materialize` alone
CREATE SCHEMA IF NOT EXISTS ops;       -- run ledger and schema version

-- Users, keyed by user_id: the newest month's row of each.
CREATE TABLE IF NOT EXISTS source.users (
    user_id        text        NOT NULL PRIMARY KEY,
    as_of          timestamptz NOT NULL,
    signup_date    date        NOT NULL,
    user_gender    text        NOT NULL,
    user_is_senior boolean     NOT NULL,
    has_family     boolean     NOT NULL,
    has_dependents boolean     NOT NULL,
    loaded_at      timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN source.users.user_id        IS 'The user, 1 to 128 characters.';
COMMENT ON COLUMN source.users.as_of          IS 'The month this row comes from; an older month never replaces it.';
COMMENT ON COLUMN source.users.signup_date    IS 'Day of the first sign-up, a calendar date in UTC.';
COMMENT ON COLUMN source.users.user_gender    IS 'Gender the user gave: Female or Male.';
COMMENT ON COLUMN source.users.user_is_senior IS 'Whether the user is 65 or older.';
COMMENT ON COLUMN source.users.has_family     IS 'Whether the account is shared with a partner.';
COMMENT ON COLUMN source.users.has_dependents IS 'Whether children or other dependents live with the user.';
COMMENT ON COLUMN source.users.loaded_at      IS 'When this row was written or last corrected, UTC.';

-- Subscription profile at the month's end, one row per user and month.
CREATE TABLE IF NOT EXISTS source.subscriptions_profile_snapshots (
    user_id            text        NOT NULL,
    as_of              timestamptz NOT NULL,
    months_active      bigint      NOT NULL,
    plan_stream_tv     boolean,
    plan_stream_movies boolean,
    contract_type      text        NOT NULL,
    paperless_billing  boolean     NOT NULL,
    monthly_fee        real        NOT NULL,
    total_paid         double precision NOT NULL,
    net_service        text        NOT NULL,
    loaded_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, as_of)
);
COMMENT ON COLUMN source.subscriptions_profile_snapshots.user_id            IS 'The user.';
COMMENT ON COLUMN source.subscriptions_profile_snapshots.as_of              IS 'The instant this row describes, UTC.';
COMMENT ON COLUMN source.subscriptions_profile_snapshots.months_active      IS 'Full months since the subscription began, in months.';
COMMENT ON COLUMN source.subscriptions_profile_snapshots.plan_stream_tv     IS 'Whether the plan includes TV streaming; null when unknown.';
COMMENT ON COLUMN source.subscriptions_profile_snapshots.plan_stream_movies IS 'Whether the plan includes movie streaming; null when unknown.';
COMMENT ON COLUMN source.subscriptions_profile_snapshots.contract_type      IS 'Contract term: Month-to-month, One year or Two year.';
COMMENT ON COLUMN source.subscriptions_profile_snapshots.paperless_billing  IS 'Whether bills are sent electronically.';
COMMENT ON COLUMN source.subscriptions_profile_snapshots.monthly_fee        IS 'Fee of the current plan, in US dollars per month.';
COMMENT ON COLUMN source.subscriptions_profile_snapshots.total_paid         IS 'Paid since the subscription began, in US dollars.';
COMMENT ON COLUMN source.subscriptions_profile_snapshots.net_service        IS 'Internet access of the household: DSL, Fiber optic or No.';
COMMENT ON COLUMN source.subscriptions_profile_snapshots.loaded_at          IS 'When this row was written or last corrected, UTC.';

-- Usage over the 30 (or 7) days before as_of, one row per user and month.
CREATE TABLE IF NOT EXISTS source.usage_agg_30d_snapshots (
    user_id             text        NOT NULL,
    as_of               timestamptz NOT NULL,
    watch_hours_30d     real        NOT NULL,
    avg_session_mins_7d real        NOT NULL,
    unique_devices_30d  bigint      NOT NULL,
    skips_7d            bigint      NOT NULL,
    rebuffer_events_7d  bigint      NOT NULL,
    loaded_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, as_of)
);
COMMENT ON COLUMN source.usage_agg_30d_snapshots.user_id             IS 'The user.';
COMMENT ON COLUMN source.usage_agg_30d_snapshots.as_of               IS 'The instant this row describes, UTC.';
COMMENT ON COLUMN source.usage_agg_30d_snapshots.watch_hours_30d     IS 'Time watched in the last 30 days, in hours.';
COMMENT ON COLUMN source.usage_agg_30d_snapshots.avg_session_mins_7d IS 'Mean length of a viewing session in the last 7 days, in minutes.';
COMMENT ON COLUMN source.usage_agg_30d_snapshots.unique_devices_30d  IS 'Distinct devices used in the last 30 days, a count.';
COMMENT ON COLUMN source.usage_agg_30d_snapshots.skips_7d            IS 'Titles skipped in the last 7 days, a count.';
COMMENT ON COLUMN source.usage_agg_30d_snapshots.rebuffer_events_7d  IS 'Playback stalls in the last 7 days, a count.';
COMMENT ON COLUMN source.usage_agg_30d_snapshots.loaded_at           IS 'When this row was written or last corrected, UTC.';

-- Payments over the 90 days before as_of, one row per user and month.
CREATE TABLE IF NOT EXISTS source.payments_agg_90d_snapshots (
    user_id             text        NOT NULL,
    as_of               timestamptz NOT NULL,
    failed_payments_90d bigint      NOT NULL,
    loaded_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, as_of)
);
COMMENT ON COLUMN source.payments_agg_90d_snapshots.user_id             IS 'The user.';
COMMENT ON COLUMN source.payments_agg_90d_snapshots.as_of               IS 'The instant this row describes, UTC.';
COMMENT ON COLUMN source.payments_agg_90d_snapshots.failed_payments_90d IS 'Payments that failed in the last 90 days, a count.';
COMMENT ON COLUMN source.payments_agg_90d_snapshots.loaded_at           IS 'When this row was written or last corrected, UTC.';

-- Support contacts over the 90 days before as_of, one row per user and month.
CREATE TABLE IF NOT EXISTS source.support_agg_90d_snapshots (
    user_id                       text        NOT NULL,
    as_of                         timestamptz NOT NULL,
    support_tickets_90d           bigint      NOT NULL,
    ticket_avg_resolution_hrs_90d real        NOT NULL,
    loaded_at                     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, as_of)
);
COMMENT ON COLUMN source.support_agg_90d_snapshots.user_id                       IS 'The user.';
COMMENT ON COLUMN source.support_agg_90d_snapshots.as_of                         IS 'The instant this row describes, UTC.';
COMMENT ON COLUMN source.support_agg_90d_snapshots.support_tickets_90d           IS 'Support tickets opened in the last 90 days, a count.';
COMMENT ON COLUMN source.support_agg_90d_snapshots.ticket_avg_resolution_hrs_90d IS 'Mean time to resolve those tickets, in hours.';
COMMENT ON COLUMN source.support_agg_90d_snapshots.loaded_at                     IS 'When this row was written or last corrected, UTC.';

-- Labels, one row per user and month: a later month never overwrites an earlier one.
CREATE TABLE IF NOT EXISTS source.labels_snapshots (
    user_id     text        NOT NULL,
    as_of       timestamptz NOT NULL,
    churn_label boolean     NOT NULL,
    loaded_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, as_of)
);
COMMENT ON COLUMN source.labels_snapshots.user_id     IS 'The user.';
COMMENT ON COLUMN source.labels_snapshots.as_of       IS 'The instant the label belongs to, UTC.';
COMMENT ON COLUMN source.labels_snapshots.churn_label IS 'Whether the user left in the month after as_of.';
COMMENT ON COLUMN source.labels_snapshots.loaded_at   IS 'When this row was written or last corrected, UTC.';

-- What ran: one row per run of a command that changes data. A run whose row says
-- "running" while nobody holds its advisory lock was killed.
CREATE TABLE IF NOT EXISTS ops.runs (
    run            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    command        text        NOT NULL,
    parameters     jsonb       NOT NULL,
    window_start   timestamptz,
    window_end     timestamptz,
    outcome        text        NOT NULL DEFAULT 'running'
                   CHECK (outcome IN ('running', 'done', 'failed', 'refused')),
    rows_read      bigint      NOT NULL DEFAULT 0,
    rows_written   bigint      NOT NULL DEFAULT 0,
    rows_late      bigint      NOT NULL DEFAULT 0,
    rows_unchanged bigint      NOT NULL DEFAULT 0,
    rows_refused   bigint      NOT NULL DEFAULT 0,
    rows_older     bigint      NOT NULL DEFAULT 0,
    started_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at    timestamptz,
    message        text        NOT NULL DEFAULT '',
    versions       jsonb       NOT NULL
);
ALTER TABLE ops.runs ADD COLUMN IF NOT EXISTS rows_older bigint NOT NULL DEFAULT 0;

-- The version of this file that was applied last, as the sha256 of its text.
CREATE TABLE IF NOT EXISTS ops.schema_version (
    only_row   boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (only_row),
    sha256     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- What the registry says, compiled for the API; written by `apply` in the transaction that
-- migrates the online tables, so that a reader sees both or neither.
CREATE TABLE IF NOT EXISTS ops.catalog (
    only_row   boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (only_row),
    version    bigint      NOT NULL,
    format     integer     NOT NULL,
    document   json        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN ops.catalog.version  IS 'Counts up with every change of the document.';
COMMENT ON COLUMN ops.catalog.format   IS 'Form of the document; a reader refuses a later one than it knows.';
COMMENT ON COLUMN ops.catalog.document IS 'Services, views and features with the tables and columns that hold them.';

-- Tells the API that the catalog, or the rows of an online table, are others from now on. It is
-- heard when the writer's transaction commits, never before and never without it.
CREATE OR REPLACE FUNCTION ops.notify_catalog() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY streamflow_catalog;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER notify_catalog
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON ops.catalog
    FOR EACH STATEMENT EXECUTE FUNCTION ops.notify_catalog();

CREATE OR REPLACE FUNCTION ops.notify_online() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('streamflow_online', TG_TABLE_NAME);
    RETURN NULL;
END $$;

-- What was materialized, one row per view and run, written in the transaction that wrote the
-- values. Feast's registry has the same intervals; two writers at once lose some of those.
CREATE TABLE IF NOT EXISTS ops.materializations (
    materialization bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project         text        NOT NULL,
    view            text        NOT NULL,
    window_start    timestamptz NOT NULL,
    window_end      timestamptz NOT NULL,
    seen_at         timestamptz NOT NULL,
    way             text        NOT NULL,
    rows_read       bigint      NOT NULL,
    rows_written    bigint      NOT NULL,
    rows_late       bigint      NOT NULL,
    rows_unchanged  bigint      NOT NULL,
    rows_older      bigint      NOT NULL,
    newest_event    timestamptz
);
CREATE INDEX IF NOT EXISTS materializations_view ON ops.materializations (project, view, seen_at);
COMMENT ON COLUMN ops.materializations.seen_at IS 'Begin of the transaction: rows loaded later were not seen.';
COMMENT ON COLUMN ops.materializations.way     IS 'database: inside PostgreSQL; feast: through Feast''s own engine.';
ALTER TABLE ops.materializations ADD COLUMN IF NOT EXISTS newest_event timestamptz;
COMMENT ON COLUMN ops.materializations.newest_event IS 'The newest instant that any online value of the view described afterwards; null for none.';

-- What audits found: of so many users each, in how many a feature's served value was not the one
-- that training sees.
CREATE TABLE IF NOT EXISTS ops.skew (
    run       bigint NOT NULL,
    view      text   NOT NULL,
    feature   text   NOT NULL,
    compared  bigint NOT NULL,
    differing bigint NOT NULL,
    pending   bigint NOT NULL,
    PRIMARY KEY (run, view, feature)
);
COMMENT ON COLUMN ops.skew.run       IS 'The audit in ops.runs.';
COMMENT ON COLUMN ops.skew.compared  IS 'Users whose values were compared.';
COMMENT ON COLUMN ops.skew.differing IS 'Of those compared, in how many the value differs.';
COMMENT ON COLUMN ops.skew.pending   IS 'Users with a row that was loaded after the last materialization.';

-- What the API's /metrics tells of all this. A view reads with its owner's rights, so that who may
-- read these sums need not see a run's parameters and messages. CREATE OR REPLACE can add columns
-- at the end alone; for any other change, DROP VIEW IF EXISTS comes before it.

-- By command: how its runs ended, and the last one of them. "killed" as in the ledger for people:
-- "running" without the advisory lock that a run holds while it lives (jobs/ledger.py).
CREATE OR REPLACE VIEW ops.status_of_commands AS
WITH runs AS (
    SELECT run, command, finished_at,
           CASE WHEN outcome = 'running' AND NOT EXISTS (
               SELECT FROM pg_locks
               WHERE locktype = 'advisory' AND objsubid = 2
                 AND classid = 1398034502 AND objid = run::integer::oid
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
           THEN 'killed' ELSE outcome END AS outcome
    FROM ops.runs
), counted AS (
    SELECT command,
           count(*) FILTER (WHERE outcome = 'running') AS running,
           count(*) FILTER (WHERE outcome = 'done') AS done,
           count(*) FILTER (WHERE outcome = 'failed') AS failed,
           count(*) FILTER (WHERE outcome = 'refused') AS refused,
           count(*) FILTER (WHERE outcome = 'killed') AS killed,
           max(finished_at) FILTER (WHERE outcome = 'done') AS last_success_at,
           max(run) FILTER (WHERE outcome <> 'running') AS last_run
    FROM runs GROUP BY command
)
SELECT counted.command, running, done, failed, refused, killed, last_success_at,
       CASE outcome WHEN 'running' THEN 'killed' ELSE outcome END AS last_outcome,
       finished_at - started_at AS last_duration,
       rows_read, rows_written, rows_late, rows_unchanged, rows_refused, rows_older
FROM counted LEFT JOIN ops.runs ON run = last_run;

-- By feature view: how far it was materialized, and the newest instant its values describe.
CREATE OR REPLACE VIEW ops.status_of_views AS
SELECT DISTINCT ON (project, view) project, view,
       max(window_end) OVER (PARTITION BY project, view) AS materialized_until,
       newest_event
FROM ops.materializations ORDER BY project, view, materialization DESC;

-- By feature: what the last audit found.
CREATE OR REPLACE VIEW ops.status_of_features AS
SELECT view, feature, compared, differing, pending
FROM ops.skew WHERE run = (SELECT max(run) FROM ops.skew);
