-- Usable from: 1
-- Several Feast projects in one database, told apart: their catalogs, runs, audits and contracts.
-- An earlier version knows one of them, the first that was applied, and goes on serving that one.

-- The catalog of the first project is in ops.catalog, as it always was.
ALTER TABLE ops.catalog
    ADD COLUMN IF NOT EXISTS project text GENERATED ALWAYS AS (document->>'project') STORED;
CREATE TABLE IF NOT EXISTS ops.further_catalogs (
    project    text        NOT NULL PRIMARY KEY,
    version    bigint      NOT NULL,
    format     integer     NOT NULL,
    document   json        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ops.further_catalogs IS
    'As ops.catalog, of the projects that were applied when that one was another''s.';
CREATE OR REPLACE TRIGGER notify_catalog
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON ops.further_catalogs
    FOR EACH STATEMENT EXECUTE FUNCTION ops.notify_catalog();
CREATE OR REPLACE VIEW ops.catalogs AS
SELECT project, version, format, document, applied_at FROM ops.catalog
UNION ALL
SELECT project, version, format, document, applied_at FROM ops.further_catalogs;

-- Whose a run is: of the project that the session names in the setting streamflow.project, else of
-- the first one, since an earlier version names none. Backups and restores are of the database.
ALTER TABLE ops.runs ADD COLUMN IF NOT EXISTS project text NOT NULL DEFAULT '';
COMMENT ON COLUMN ops.runs.project IS 'Feast''s project; empty for what concerns the whole database.';
CREATE OR REPLACE FUNCTION ops.name_project() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.project := CASE WHEN NEW.command IN ('backup', 'restore') THEN ''
        ELSE coalesce(nullif(current_setting('streamflow.project', true), ''),
                      (SELECT project FROM ops.catalog), '') END;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER name_project BEFORE INSERT ON ops.runs
    FOR EACH ROW EXECUTE FUNCTION ops.name_project();
UPDATE ops.runs SET project = (SELECT project FROM ops.catalog)
WHERE project = '' AND command NOT IN ('backup', 'restore') AND EXISTS (SELECT FROM ops.catalog);

-- As ops.run_totals, for each project.
CREATE TABLE IF NOT EXISTS ops.project_totals (
    project   text   NOT NULL,
    command   text   NOT NULL,
    done      bigint NOT NULL DEFAULT 0,
    failed    bigint NOT NULL DEFAULT 0,
    refused   bigint NOT NULL DEFAULT 0,
    killed    bigint NOT NULL DEFAULT 0,
    last_run  bigint,
    last_done bigint,
    PRIMARY KEY (project, command)
);
INSERT INTO ops.project_totals
    (project, command, done, failed, refused, killed, last_run, last_done)
SELECT CASE WHEN command IN ('backup', 'restore') THEN ''
            ELSE coalesce((SELECT project FROM ops.catalog), '') END,
       command, done, failed, refused, killed, last_run, last_done
FROM ops.run_totals WHERE NOT EXISTS (SELECT FROM ops.project_totals);

-- As in 0002, for both tables of sums.
CREATE OR REPLACE FUNCTION ops.count_run() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM ops.run_totals;
        DELETE FROM ops.project_totals;
        RETURN NULL;
    END IF;
    INSERT INTO ops.run_totals (command) VALUES (NEW.command) ON CONFLICT DO NOTHING;
    INSERT INTO ops.project_totals (project, command) VALUES (NEW.project, NEW.command)
    ON CONFLICT DO NOTHING;
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
        UPDATE ops.project_totals SET
            done = done + (NEW.outcome = 'done')::integer,
            failed = failed + (NEW.outcome = 'failed')::integer,
            refused = refused + (NEW.outcome = 'refused')::integer,
            killed = killed + (NEW.outcome = 'killed')::integer,
            last_run = greatest(last_run, NEW.run),
            last_done = CASE WHEN NEW.outcome = 'done' AND NOT EXISTS (
                SELECT FROM ops.runs WHERE run = last_done AND finished_at > NEW.finished_at)
                THEN NEW.run ELSE last_done END
        WHERE project = NEW.project AND command = NEW.command;
    END IF;
    RETURN NULL;
END $$;

-- As ops.status_of_commands, for each project.
CREATE OR REPLACE VIEW ops.status_of_projects AS
WITH open AS (
    SELECT r.project, l.command,
           count(*) FILTER (WHERE l.outcome = 'running') AS running,
           count(*) FILTER (WHERE l.outcome = 'killed') AS killed,
           max(l.run) FILTER (WHERE l.outcome = 'killed') AS last_killed
    FROM ops.ledger AS l JOIN ops.runs AS r ON r.run = l.run
    WHERE l.is_open GROUP BY r.project, l.command
)
SELECT t.project, t.command, coalesce(open.running, 0) AS running, done, failed, refused,
       t.killed + coalesce(open.killed, 0) AS killed,
       success.finished_at AS last_success_at, last.outcome AS last_outcome,
       last.finished_at - last.started_at AS last_duration,
       last.rows_read, last.rows_written, last.rows_late, last.rows_unchanged, last.rows_refused,
       last.rows_older
FROM ops.project_totals AS t
LEFT JOIN open ON open.project = t.project AND open.command = t.command
LEFT JOIN LATERAL (
    SELECT * FROM ops.ledger WHERE run = greatest(t.last_run, open.last_killed) LIMIT 1
) AS last ON true
LEFT JOIN LATERAL (SELECT finished_at FROM ops.runs WHERE run = t.last_done LIMIT 1) AS success
    ON true;

-- As ops.status_of_features, for each project: what its last audit found that compared anything.
CREATE OR REPLACE VIEW ops.last_audits AS
SELECT t.project, last.run AS last_audit
FROM ops.project_totals AS t, LATERAL (
    SELECT s.run FROM ops.skew AS s JOIN ops.runs AS r ON r.run = s.run
    WHERE r.project = t.project ORDER BY s.run DESC LIMIT 1
) AS last
WHERE t.command = 'audit';
CREATE OR REPLACE VIEW ops.status_of_audits AS
SELECT project, view, feature, compared, differing, pending
FROM ops.last_audits JOIN ops.skew ON run = last_audit;

-- As in 0006, by project; and the audit stays whose findings are the last ones, since they are known by its run.
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
        WHERE is_open AND outcome = 'killed');  -- nobody sees a run before its lock
    GET DIAGNOSTICS killed = ROW_COUNT;
    WITH gone AS (
        DELETE FROM ops.runs WHERE run IN (
            SELECT run FROM ops.runs AS r
            WHERE started_at < before AND outcome <> 'running' AND NOT EXISTS (
                SELECT FROM ops.project_totals AS t
                WHERE t.project = r.project AND t.command = r.command
                  AND r.run IN (t.last_run, t.last_done))
            AND run NOT IN (SELECT last_audit FROM ops.last_audits)
            AND (outcome = 'refused'
                OR command NOT IN ('ingest', 'training-set', 'materialize')
                OR command = 'materialize' AND parameters->>'force' IS DISTINCT FROM 'true'
                OR EXISTS (
                    SELECT FROM ops.runs AS later
                    WHERE later.project = r.project
                      AND later.command = r.command AND later.parameters = r.parameters
                      AND jsonb_hash_extended(later.parameters, 0)
                          = jsonb_hash_extended(r.parameters, 0)
                      AND later.outcome = r.outcome AND later.run > r.run))
            ORDER BY started_at LIMIT at_once)
        RETURNING run
    ), findings AS (
        DELETE FROM ops.skew WHERE run IN (SELECT run FROM gone)
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

-- As in 0005, for the project whose catalog it is.
CREATE OR REPLACE FUNCTION ops.end_contract(of_project text, of_service text, of_contract text)
RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moment timestamptz;
BEGIN
    PERFORM FROM ops.catalog FOR UPDATE;
    UPDATE ops.contracts SET ended_at = now()
    WHERE project = of_project AND service = of_service AND contract = of_contract
      AND superseded_at IS NOT NULL AND ended_at IS NULL
    RETURNING ended_at INTO moment;
    IF FOUND THEN
        UPDATE ops.catalog SET version = version + 1 WHERE project = of_project;
        UPDATE ops.further_catalogs SET version = version + 1 WHERE project = of_project;
        RETURN moment;
    END IF;
    RETURN (SELECT ended_at FROM ops.contracts
            WHERE project = of_project AND service = of_service AND contract = of_contract);
END $$;

-- Who had rights on the tables of before has those that the same work takes now, also until
-- `streamflow db roles` runs again; roles.sql says the same.
REVOKE ALL ON FUNCTION ops.name_project FROM PUBLIC;
DO $$
DECLARE
    who regrole;
BEGIN
    FOR who IN SELECT grantee FROM pg_class, aclexplode(relacl)
               WHERE oid = 'ops.catalog'::regclass AND privilege_type = 'SELECT'
                 AND grantee NOT IN (0, relowner) LOOP
        EXECUTE format('GRANT SELECT ON ops.catalogs TO %s', who);
    END LOOP;
    FOR who IN SELECT grantee FROM pg_class, aclexplode(relacl)
               WHERE oid = 'ops.status_of_commands'::regclass AND privilege_type = 'SELECT'
                 AND grantee NOT IN (0, relowner) LOOP
        EXECUTE format('GRANT SELECT ON ops.status_of_projects, ops.status_of_audits TO %s', who);
    END LOOP;
END $$;
