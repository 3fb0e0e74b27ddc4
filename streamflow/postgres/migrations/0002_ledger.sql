-- Usable from: 1
-- How runs ended, in one place; sums that outlive the rows; rows that go when they are old; all of it
-- read in a time that does not grow with the ledger.

COMMENT ON COLUMN ops.materializations.way IS 'database: inside PostgreSQL; feast: as Feast''s messages, by its own engine or copied.';

-- By outcome of a command: how many runs ended so, since the ledger began, pruned ones included.
CREATE TABLE IF NOT EXISTS ops.run_totals (
    command   text   NOT NULL PRIMARY KEY,
    done      bigint NOT NULL DEFAULT 0,
    failed    bigint NOT NULL DEFAULT 0,
    refused   bigint NOT NULL DEFAULT 0,
    killed    bigint NOT NULL DEFAULT 0,
    last_run  bigint,
    last_done bigint
);
COMMENT ON COLUMN ops.run_totals.killed    IS 'Runs that were found killed; ops.ledger knows those that nobody found yet.';
COMMENT ON COLUMN ops.run_totals.last_run  IS 'The newest run in ops.runs that ended.';
COMMENT ON COLUMN ops.run_totals.last_done IS 'The run in ops.runs that succeeded last.';

-- A run that another one finds without its lock is killed for good (see ops.tidy).
ALTER TABLE ops.runs DROP CONSTRAINT IF EXISTS runs_outcome_check;
ALTER TABLE ops.runs ADD CONSTRAINT runs_outcome_check
    CHECK (outcome IN ('running', 'done', 'failed', 'refused', 'killed'));
CREATE INDEX IF NOT EXISTS runs_command ON ops.runs (command, run);
CREATE INDEX IF NOT EXISTS runs_started ON ops.runs (started_at);
CREATE INDEX IF NOT EXISTS runs_running ON ops.runs (run) WHERE outcome = 'running';

-- Counts a run when it ends, whichever version ends it. Nothing is ever taken off: these are
-- counters of Prometheus. Who empties the ledger begins anew.
CREATE OR REPLACE FUNCTION ops.count_run() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM ops.run_totals;
        RETURN NULL;
    END IF;
    INSERT INTO ops.run_totals (command) VALUES (NEW.command) ON CONFLICT DO NOTHING;
    IF NEW.outcome <> 'running' AND NEW.outcome IS DISTINCT FROM OLD.outcome THEN
        UPDATE ops.run_totals SET
            done = done + (NEW.outcome = 'done')::integer,
            failed = failed + (NEW.outcome = 'failed')::integer,
            refused = refused + (NEW.outcome = 'refused')::integer,
            killed = killed + (NEW.outcome = 'killed')::integer,
            last_run = greatest(last_run, NEW.run),
            last_done = CASE WHEN NEW.outcome = 'done' AND NOT EXISTS (
                SELECT FROM ops.runs WHERE run = last_done AND finished_at > NEW.finished_at)
                THEN NEW.run ELSE last_done END
        WHERE command = NEW.command;
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER count_run AFTER INSERT OR UPDATE OF outcome ON ops.runs
    FOR EACH ROW EXECUTE FUNCTION ops.count_run();
CREATE OR REPLACE TRIGGER count_none AFTER TRUNCATE ON ops.runs
    FOR EACH STATEMENT EXECUTE FUNCTION ops.count_run();
INSERT INTO ops.run_totals (command, done, failed, refused, killed, last_run, last_done)
SELECT command, count(*) FILTER (WHERE outcome = 'done'), count(*) FILTER (WHERE outcome = 'failed'),
       count(*) FILTER (WHERE outcome = 'refused'), count(*) FILTER (WHERE outcome = 'killed'),
       max(run) FILTER (WHERE outcome <> 'running'),
       (array_agg(run ORDER BY finished_at DESC NULLS LAST) FILTER (WHERE outcome = 'done'))[1]
FROM ops.runs GROUP BY command
ON CONFLICT DO NOTHING;

-- The runs as people and metrics have them. A run holds an advisory lock while it lives
-- (jobs/ledger.py), so that one which says "running" without it was killed. A standby has no locks
-- of its primary's runs: there it is running, until somebody found it killed on the primary.
-- (Of a volatile function in its columns, as pg_is_in_recovery is, a view would be read whole.)
CREATE OR REPLACE VIEW ops.ledger AS
SELECT run, command, parameters, window_start, window_end,
       CASE WHEN outcome = 'running' AND held.objid IS NULL
                 AND current_setting('in_hot_standby') = 'off'
            THEN 'killed' ELSE outcome END AS outcome,
       rows_read, rows_written, rows_late, rows_unchanged, rows_refused, rows_older,
       started_at, finished_at, message, versions, outcome = 'running' AS is_open
FROM ops.runs LEFT JOIN (
    SELECT DISTINCT objid FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 2 AND classid = 1398034502
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
) AS held ON held.objid = run::integer::oid;
COMMENT ON COLUMN ops.ledger.is_open IS 'Whether nobody has entered yet how the run ended.';

-- As in 0001, from the sums. The runs are looked up one by one (LATERAL, LIMIT), since PostgreSQL
-- takes a table of five rows for hundreds until it is analyzed.
CREATE OR REPLACE VIEW ops.status_of_commands AS
WITH open AS (
    SELECT command,
           count(*) FILTER (WHERE outcome = 'running') AS running,
           count(*) FILTER (WHERE outcome = 'killed') AS killed,
           max(run) FILTER (WHERE outcome = 'killed') AS last_killed
    FROM ops.ledger WHERE is_open GROUP BY command
)
SELECT t.command, coalesce(open.running, 0) AS running, done, failed, refused,
       t.killed + coalesce(open.killed, 0) AS killed,
       success.finished_at AS last_success_at, last.outcome AS last_outcome,
       last.finished_at - last.started_at AS last_duration,
       last.rows_read, last.rows_written, last.rows_late, last.rows_unchanged, last.rows_refused,
       last.rows_older
FROM ops.run_totals AS t
LEFT JOIN open ON open.command = t.command
LEFT JOIN LATERAL (
    SELECT * FROM ops.ledger WHERE run = greatest(t.last_run, open.last_killed) LIMIT 1
) AS last ON true
LEFT JOIN LATERAL (SELECT finished_at FROM ops.runs WHERE run = t.last_done LIMIT 1) AS success
    ON true;

-- How far a view was materialized, and what its last run says.
CREATE INDEX IF NOT EXISTS materializations_end
    ON ops.materializations (project, view, window_end);
CREATE INDEX IF NOT EXISTS materializations_last
    ON ops.materializations (project, view, materialization);

-- As in 0001, by going from view to view instead of through all rows.
CREATE OR REPLACE VIEW ops.status_of_views AS
WITH RECURSIVE views AS (
    (SELECT project, view FROM ops.materializations ORDER BY project, view LIMIT 1)
    UNION ALL
    SELECT following.project, following.view
    FROM views AS v, LATERAL (
        SELECT project, view FROM ops.materializations AS m
        WHERE (m.project, m.view) > (v.project, v.view) ORDER BY project, view LIMIT 1
    ) AS following
)
SELECT v.project, v.view,
       (SELECT max(window_end) FROM ops.materializations AS m
        WHERE m.project = v.project AND m.view = v.view) AS materialized_until,
       newest.newest_event
FROM views AS v, LATERAL (  -- not by equality, which another index would serve badly
    SELECT newest_event FROM ops.materializations AS m
    WHERE (m.project, m.view, m.materialization) <= (v.project, v.view, 9223372036854775807)
    ORDER BY m.project DESC, m.view DESC, m.materialization DESC LIMIT 1
) AS newest;

-- What every run does when it begins. It says of runs that were killed that they were, and removes
-- what is older than so many days: runs, their audits' findings, and materializations. Of each
-- command the last run and the last success stay, of each view whatever no later row says as well.
-- With the owner's rights, since nobody else may delete; a month at least stays.
CREATE OR REPLACE FUNCTION ops.tidy(keep_days integer, OUT killed bigint, OUT removed bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before CONSTANT timestamptz := now() - make_interval(days => keep_days);
    at_once CONSTANT integer := 10000;  -- so that no run waits long for what years left
BEGIN
    killed := 0;
    removed := 0;
    IF keep_days < 31 THEN
        RAISE 'a month at least is kept' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT pg_try_advisory_xact_lock(1398034502, 0) THEN
        RETURN;  -- another run does it
    END IF;
    UPDATE ops.runs SET outcome = 'killed'
    WHERE outcome = 'running' AND run IN (
        SELECT run FROM ops.ledger
        WHERE is_open AND outcome = 'killed'
          AND started_at < clock_timestamp() - interval '1 minute');  -- it enters, and then locks
    GET DIAGNOSTICS killed = ROW_COUNT;
    WITH gone AS (
        DELETE FROM ops.runs WHERE run IN (
            SELECT run FROM ops.runs AS r
            WHERE started_at < before AND outcome <> 'running' AND NOT EXISTS (
                SELECT FROM ops.run_totals AS t
                WHERE t.command = r.command AND r.run IN (t.last_run, t.last_done))
            ORDER BY started_at LIMIT at_once)
        RETURNING run
    ), findings AS (
        DELETE FROM ops.skew WHERE run IN (SELECT run FROM gone)
            AND run <> (SELECT max(run) FROM ops.skew)
    ), materializations AS (
        DELETE FROM ops.materializations WHERE materialization IN (
            SELECT materialization FROM ops.materializations AS m
            WHERE seen_at < before AND EXISTS (
                SELECT FROM ops.materializations AS later
                WHERE later.project = m.project AND later.view = m.view
                  AND later.materialization > m.materialization
                  AND later.seen_at >= m.seen_at AND later.window_end >= m.window_end)
            LIMIT at_once)
        RETURNING materialization
    )
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM materializations) INTO removed;
END $$;
REVOKE ALL ON FUNCTION ops.tidy FROM PUBLIC;

-- Who had rights on the tables of before has those that the same work takes now, also until
-- `streamflow db roles` runs again; roles.sql says the same.
DO $$
DECLARE
    who regrole;
BEGIN
    FOR who IN SELECT grantee FROM pg_class, aclexplode(relacl)
               WHERE oid = 'ops.runs'::regclass AND privilege_type = 'UPDATE'
                 AND grantee NOT IN (0, relowner) LOOP
        EXECUTE format('GRANT SELECT ON ops.ledger, ops.migrations TO %s', who);
        EXECUTE format('GRANT EXECUTE ON FUNCTION ops.tidy TO %s', who);
    END LOOP;
    FOR who IN SELECT grantee FROM pg_class, aclexplode(relacl)
               WHERE oid = 'ops.catalog'::regclass AND privilege_type = 'SELECT'
                 AND grantee NOT IN (0, relowner) LOOP
        EXECUTE format('GRANT SELECT ON ops.migrations TO %s', who);
    END LOOP;
END $$;
