-- Usable from: 1
-- Tables count the statements that write them, so that a materialization knows without a look at their rows that
-- none was written since the last one (streamflow/engine/unchanged.py).

-- A sequence, since nobody waits for another's and a crash never takes one back. The table's trigger names it; a
-- statement that finds it gone writes all the same.
CREATE OR REPLACE FUNCTION ops.count_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM nextval(to_regclass(TG_ARGV[0]));
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION ops.count_write FROM PUBLIC;

-- Which table it is, with columns and rows in this place, and how many statements wrote it: two equal answers say that
-- no row became another between them. Null where that cannot be said: of a table that does not count, whose rows
-- others may write unseen (partitions, a subscription), see differently (policies) or read differently without a write
-- (enums, names of tables, computed columns).
--
-- `at_rest`: null as well while a statement that was counted may not have ended. The count comes first: who wrote
-- before it has its lock until its rows are seen by everybody.
CREATE OR REPLACE FUNCTION ops.writes_of(relation oid, at_rest boolean, OUT state text, OUT writes bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    SELECT concat_ws('/', system.system_identifier, d.oid, c.oid, pg_relation_filenode(c.oid), t.oid, t.xmin, s.oid,
                     (SELECT md5(string_agg(concat_ws(' ', attnum, attname, atttypid, attisdropped), ',' ORDER BY attnum))
                      FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0)),
           coalesce(pg_sequence_last_value(s.oid), 0)
    INTO state, writes
    FROM pg_control_system() AS system, pg_database AS d, pg_class AS c
    JOIN pg_trigger AS t ON t.tgrelid = c.oid AND t.tgname = 'count_write'
    JOIN pg_class AS s ON s.relkind = 'S' AND s.oid = to_regclass(convert_from(trim('\x00'::bytea FROM t.tgargs), 'UTF8'))
    WHERE d.datname = current_database() AND c.oid = relation
      -- After each statement of the four kinds, whatever it writes.
      AND t.tgenabled = 'A' AND t.tgfoid = 'ops.count_write'::regproc AND t.tgtype = 60
      AND t.tgattr = '' AND t.tgqual IS NULL
      AND c.relkind = 'r' AND c.relpersistence = 'p' AND NOT c.relrowsecurity
      AND NOT EXISTS (SELECT FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent))
      AND NOT EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid = c.oid)
      AND NOT EXISTS (
          SELECT FROM pg_attribute AS a JOIN pg_type AS y ON y.oid = a.atttypid
          WHERE a.attrelid = c.oid AND a.attnum > 0
            AND (y.oid >= 16384 OR y.typname ~ '^_?reg' OR a.attgenerated = 'v'));
    IF at_rest AND EXISTS (
        SELECT FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
        WHERE d.datname = current_database() AND l.locktype = 'relation' AND l.relation = writes_of.relation
          AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
          AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')) THEN
        state := NULL;
        writes := NULL;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    state := NULL;  -- some servers keep their identity from everybody
    writes := NULL;
END $$;

-- Has a table count its writes from now on, if the current role owns it. The trigger also fires where others are
-- switched off, as for replication.
CREATE OR REPLACE FUNCTION ops.count_writes(relation regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first_column name;
    counter text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_class WHERE oid = relation AND pg_has_role(relowner, 'USAGE'))
        OR EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relation AND tgname = 'count_write' AND tgenabled = 'A'
                   AND to_regclass(convert_from(trim('\x00'::bytea FROM tgargs), 'UTF8')) IS NOT NULL) THEN
        RETURN;
    END IF;
    SELECT format('%s.%I', c.relnamespace::regnamespace,
                  'writes_of_' || CASE WHEN octet_length(relname) > 53 THEN md5(relname) ELSE relname END),
           a.attname
    INTO counter, first_column
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.oid = relation ORDER BY a.attnum LIMIT 1;
    EXECUTE format('CREATE SEQUENCE IF NOT EXISTS %s', counter);
    EXECUTE format('ALTER SEQUENCE %s OWNED BY %s.%I', counter, relation, first_column);
    EXECUTE format('CREATE OR REPLACE TRIGGER count_write AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s'
        ' FOR EACH STATEMENT EXECUTE FUNCTION ops.count_write(%L)', relation, counter);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER count_write', relation);
END $$;

ALTER TABLE ops.materializations ADD COLUMN IF NOT EXISTS signature text;
COMMENT ON COLUMN ops.materializations.signature IS
    'A hash of the SQL and of the writes of source and online table; null where those are not known.';

SELECT ops.count_writes(c.oid::regclass) FROM pg_class AS c
WHERE c.relnamespace IN ('source'::regnamespace, 'online'::regnamespace) AND c.relkind = 'r';

-- As roles.sql says it.
DO $$
DECLARE
    who regrole;
BEGIN
    FOR who IN SELECT grantee FROM pg_class, aclexplode(relacl)
               WHERE oid = 'ops.materializations'::regclass AND privilege_type = 'INSERT'
                 AND grantee NOT IN (0, relowner) LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION ops.writes_of TO %s', who);
    END LOOP;
END $$;
