-- Who may do what: {owner} applies, {writer} ingests, materializes, audits and notes backups,
-- {trainer} builds training sets, {reader} is the API, {viewer} the explorer. `streamflow db roles`
-- runs this file in one transaction, with names in place of the braces, and then makes {owner} the
-- owner of all that is in the schemas. It may run again on any older version of it: what a role was
-- granted besides is taken away.
-- Tables that `apply` makes later have their rights by default; in `ops` none have any, since
-- each of its tables is for other roles. A new one there needs a line here.

-- The database. CREATE is for the CREATE SCHEMA IF NOT EXISTS of the migrations, which PostgreSQL
-- refuses without it although the schemas are there.
REVOKE ALL ON DATABASE {database} FROM PUBLIC, {writer}, {trainer}, {reader}, {viewer};
GRANT CONNECT ON DATABASE {database} TO {owner}, {writer}, {trainer}, {reader}, {viewer};
GRANT TEMPORARY ON DATABASE {database} TO {owner}, {writer}, {trainer};
GRANT CREATE ON DATABASE {database} TO {owner};

-- The definition of a view in Feast's registry stays as it was, whatever else than its owner
-- writes: field 1 of Feast's message is kept, field 2 (intervals, state) is taken. A definition
-- may hold pickled code, which whoever reads the registry runs; so it must be the owner's.
CREATE OR REPLACE FUNCTION ops.field_of(message bytea, field integer) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    key integer; start integer; stop integer := 0; size bigint; shift integer;
    found bytea := '';
BEGIN
    WHILE stop < length(message) LOOP
        start := stop;
        key := get_byte(message, start);
        stop := start + 1;
        size := 0;
        shift := 0;
        LOOP  -- the length, seven bits in each byte, the last one below 128
            size := size | ((get_byte(message, stop) & 127)::bigint << shift);
            stop := stop + 1;
            shift := shift + 7;
            EXIT WHEN get_byte(message, stop - 1) < 128;
        END LOOP;
        IF key NOT IN (10, 18) OR shift > 28 OR stop + size > length(message) THEN
            RAISE 'not the entry of a feature view' USING ERRCODE = 'invalid_binary_representation';
        END IF;
        stop := stop + size;
        IF key = field * 8 + 2 THEN
            found := found || substring(message FROM start + 1 FOR stop - start);
        END IF;
    END LOOP;
    RETURN found;
END $$;
CREATE OR REPLACE FUNCTION ops.keep_definition() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$  -- no pg_class of the writer's
BEGIN
    IF NOT pg_has_role((SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        NEW.feature_view_proto := ops.field_of(OLD.feature_view_proto, 1)
            || ops.field_of(NEW.feature_view_proto, 2);
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER keep_definition BEFORE UPDATE ON registry.feature_views
    FOR EACH ROW EXECUTE FUNCTION ops.keep_definition();
CREATE OR REPLACE TRIGGER keep_definition BEFORE UPDATE ON registry.stream_feature_views
    FOR EACH ROW EXECUTE FUNCTION ops.keep_definition();

-- Schemas. Nobody needs `public`, which may have been dropped; where it is not ours to close, it
-- was closed before.
DO $$ BEGIN
    IF (SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'public') THEN
        REVOKE ALL ON SCHEMA public FROM
            PUBLIC, {owner}, {writer}, {trainer}, {reader}, {viewer};
    END IF;
END $$;
REVOKE ALL ON SCHEMA source, registry, online, ops
    FROM PUBLIC, {writer}, {trainer}, {reader}, {viewer};
GRANT USAGE ON SCHEMA source, registry TO {writer}, {trainer}, {viewer};
GRANT USAGE ON SCHEMA online TO {writer}, {reader}, {viewer};
GRANT USAGE ON SCHEMA ops TO {writer}, {trainer}, {reader}, {viewer};

-- Where Spark's executors put rows, as {writer}, until they are merged. A run's tables are its own.
ALTER SCHEMA streamflow_staging OWNER TO {owner};
REVOKE ALL ON SCHEMA streamflow_staging FROM PUBLIC, {writer}, {trainer}, {reader}, {viewer};
GRANT USAGE, CREATE ON SCHEMA streamflow_staging TO {writer};

-- Tables that are there. Nothing but a person, as {owner}, deletes rows. MAINTAIN is for the
-- ANALYZE that ends an ingest.
REVOKE ALL ON ALL TABLES IN SCHEMA source, registry, online, ops
    FROM PUBLIC, {writer}, {trainer}, {reader}, {viewer};
REVOKE ALL ON ALL SEQUENCES IN SCHEMA source, registry, online, ops
    FROM PUBLIC, {writer}, {trainer}, {reader}, {viewer};
REVOKE ALL ON ALL ROUTINES IN SCHEMA source, registry, online, ops
    FROM PUBLIC, {writer}, {trainer}, {reader}, {viewer};
GRANT SELECT, INSERT, UPDATE, MAINTAIN ON ALL TABLES IN SCHEMA source TO {writer};
GRANT SELECT ON ALL TABLES IN SCHEMA source TO {trainer}, {viewer};
GRANT SELECT ON ALL TABLES IN SCHEMA registry TO {writer}, {trainer}, {viewer};
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA online TO {writer};
GRANT SELECT ON ALL TABLES IN SCHEMA online TO {reader}, {viewer};

-- Tables to come.
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE EXECUTE ON ROUTINES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA source, registry, online, ops
    REVOKE ALL ON TABLES FROM PUBLIC, {writer}, {trainer}, {reader}, {viewer};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA source
    GRANT SELECT, INSERT, UPDATE, MAINTAIN ON TABLES TO {writer};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA source
    GRANT SELECT ON TABLES TO {trainer}, {viewer};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA registry
    GRANT SELECT ON TABLES TO {writer}, {trainer}, {viewer};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA online
    GRANT SELECT, INSERT, UPDATE ON TABLES TO {writer};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA online
    GRANT SELECT ON TABLES TO {reader}, {viewer};

-- What a materialization records in Feast's registry; see ops.keep_definition.
GRANT UPDATE (feature_view_proto, last_updated_timestamp)
    ON registry.feature_views, registry.stream_feature_views TO {writer};
GRANT EXECUTE ON FUNCTION ops.field_of TO {writer};

-- Each table of `ops`.
GRANT SELECT ON ops.schema_version TO {writer}, {trainer};
GRANT SELECT ON ops.migrations TO {writer}, {trainer}, {reader};
GRANT SELECT ON ops.catalog, ops.catalogs, ops.callers TO {writer}, {reader};
GRANT SELECT ON ops.contracts TO {writer}, {trainer}, {reader};
GRANT EXECUTE ON FUNCTION ops.note_callers TO {reader};
GRANT EXECUTE ON FUNCTION ops.end_contract TO {writer};
GRANT SELECT, INSERT ON ops.materializations TO {writer};
GRANT EXECUTE ON FUNCTION ops.writes_of TO {writer};
GRANT SELECT ON ops.materializations TO {trainer}; -- for `audit --read-only`, which is `helm test`
GRANT SELECT, INSERT ON ops.skew TO {writer};
GRANT SELECT, INSERT, UPDATE, DELETE ON ops.served TO {writer};
GRANT SELECT, INSERT, UPDATE ON ops.iceberg_tables, ops.iceberg_namespace_properties TO {writer};
GRANT SELECT ON ops.iceberg_tables, ops.iceberg_namespace_properties TO {trainer};
GRANT SELECT, INSERT, UPDATE
    ON ops.statistics_months, ops.statistics_edges, ops.statistics TO {writer};
GRANT SELECT, INSERT, DELETE ON ops.drift TO {writer};
GRANT SELECT ON ops.statistics_months, ops.statistics_edges, ops.statistics, ops.drift
    TO {trainer};
GRANT SELECT ON ops.status_of_commands, ops.status_of_projects, ops.status_of_views,
    ops.status_of_features, ops.status_of_audits, ops.status_of_drift TO {reader};
GRANT SELECT, UPDATE ON ops.runs TO {writer}, {trainer};
GRANT INSERT (command, parameters, versions) ON ops.runs TO {writer}, {trainer};
GRANT SELECT ON ops.ledger TO {writer}, {trainer};
GRANT EXECUTE ON FUNCTION ops.tidy TO {writer}, {trainer};
GRANT SELECT ON ops.migrations, ops.catalog, ops.catalogs, ops.contracts, ops.callers, ops.materializations,
    ops.skew, ops.served, ops.runs, ops.ledger, ops.project_totals, ops.statistics_months,
    ops.statistics, ops.drift, ops.status_of_views, ops.status_of_drift TO {viewer};
-- Nobody writes ops.run_totals and ops.project_totals but a trigger. Those and ops.further_catalogs
-- are read by views, with the owner's rights.

-- The ledger's rows: a role enters runs of its own commands, and ends those that have not ended;
-- also one that was taken for killed, because its connection was lost.
ALTER TABLE ops.runs ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS anybody_reads ON ops.runs;
CREATE POLICY anybody_reads ON ops.runs FOR SELECT TO {writer}, {trainer}, {viewer}
    USING (true);
DROP POLICY IF EXISTS writer_enters ON ops.runs;
CREATE POLICY writer_enters ON ops.runs FOR INSERT TO {writer}
    WITH CHECK (command IN ('ingest', 'materialize', 'audit', 'backup', 'snapshot-export'));
DROP POLICY IF EXISTS writer_ends ON ops.runs;
CREATE POLICY writer_ends ON ops.runs FOR UPDATE TO {writer}
    USING (command IN ('ingest', 'materialize', 'audit', 'backup', 'snapshot-export')
        AND outcome IN ('running', 'killed'))
    WITH CHECK (command IN ('ingest', 'materialize', 'audit', 'backup', 'snapshot-export'));
DROP POLICY IF EXISTS trainer_enters ON ops.runs;
CREATE POLICY trainer_enters ON ops.runs FOR INSERT TO {trainer}
    WITH CHECK (command = 'training-set');
DROP POLICY IF EXISTS trainer_ends ON ops.runs;
CREATE POLICY trainer_ends ON ops.runs FOR UPDATE TO {trainer}
    USING (command = 'training-set' AND outcome IN ('running', 'killed'))
    WITH CHECK (command = 'training-set');
