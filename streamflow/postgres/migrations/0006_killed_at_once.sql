-- Usable from: 1
-- As in 0004, but that a killed run is said to be killed by the very next run. It was spared for a minute, since a
-- run was seen before it had its lock; it is entered with its lock now. So a run that was killed and started again
-- within the minute stayed "running" in ops.runs until the next month's.
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
                SELECT FROM ops.run_totals AS t
                WHERE t.command = r.command AND r.run IN (t.last_run, t.last_done))
            AND (outcome = 'refused'
                OR command NOT IN ('ingest', 'training-set', 'materialize')
                OR command = 'materialize' AND parameters->>'force' IS DISTINCT FROM 'true'
                OR EXISTS (
                    SELECT FROM ops.runs AS later
                    WHERE later.command = r.command AND later.parameters = r.parameters
                      AND jsonb_hash_extended(later.parameters, 0)
                          = jsonb_hash_extended(r.parameters, 0)
                      AND later.outcome = r.outcome AND later.run > r.run))
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
