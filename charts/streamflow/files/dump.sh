# Dumps databases into a new folder: WHAT.dump and, of the same snapshot, WHAT.facts (JSON lines).
# Arguments: the folder, seconds to wait for the server, then WHAT=DATABASE of each; the first has
# to be there, the others are left out where they are not.
set -Eeuo pipefail
umask 077
work=$1 wait=$2
shift 2
# One code for all failures: psql's own 2 and 3 would say that another attempt is of no use.
trap 'rm -rf -- "$work"; exit 1' ERR

# What killed attempts left; the same Job's own folder at once.
find "$(dirname "$work")" -mindepth 1 -maxdepth 1 -name '.*.tmp' -mmin +1440 -exec rm -rf -- {} +
rm -rf -- "$work"
mkdir -p -- "$work"

export PGAPPNAME=streamflow-backup PGCONNECT_TIMEOUT=10
# A server that vanishes without a word ends the backup within half a minute; libpq has no
# variables for that. The numbers are those of streamflow/postgres/options.py.
alive="keepalives=1 keepalives_idle=10 keepalives_interval=5 keepalives_count=3 tcp_user_timeout=25000"
to() { printf "dbname='%s' %s" "$(sed "s/['\\\\]/\\\\&/g" <<<"$1")" "$alive"; }
give_up=$((SECONDS + wait))
until pg_isready --quiet; do
  if ((SECONDS >= give_up)); then
    echo "PostgreSQL at $PGHOST:$PGPORT does not answer" >&2
    false
  fi
  sleep 2
done

query() { psql --no-psqlrc --quiet --no-align --tuples-only --set=ON_ERROR_STOP=1 "$@"; }
first=${1#*=}
for one in "$@"; do
  what=${one%%=*} database=${one#*=}
  there=$(query --dbname="$(to "$first")" --set=name="$database" <<<"SELECT 1 FROM pg_database WHERE datname = :'name'")
  if [[ -z $there ]]; then
    echo "$what: there is no database $database, left out" >&2
    continue
  fi
  export CONNECTION DUMP=$work/$what.dump
  CONNECTION=$(to "$database")
  query --dbname="$CONNECTION" >"$work/$what.facts" <<'SQL'
SET TimeZone = 'UTC';
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT json_build_object('database', current_database(), 'taken_at', now(),
                         'server_version', current_setting('server_version'));
SELECT to_regclass('ops.runs') IS NOT NULL AS ledger, pg_export_snapshot() AS snapshot \gset
\setenv SNAPSHOT :snapshot
\if :ledger
SELECT json_build_object('last_run', json_build_object(
           'run', run, 'command', command, 'outcome', outcome, 'started_at', started_at))
FROM ops.runs ORDER BY run DESC LIMIT 1;
\endif
-- One statement per table, run as they come; rows of a run of Spark that goes on meanwhile are nobody's.
SELECT format('SELECT json_build_object(''table'', %L::text, ''rows'', count(*)) FROM %I.%I',
              nspname || '.' || relname, nspname, relname)
FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
  AND NOT (nspname = 'streamflow_staging' AND relname ~ '^run_\d+_') ORDER BY 1 \gexec
\! pg_dump --dbname="$CONNECTION" --format=custom --snapshot="$SNAPSHOT" --exclude-table='streamflow_staging.run_*' --file="$DUMP.part" && mv -- "$DUMP.part" "$DUMP"
COMMIT;
SQL
  [[ -s $DUMP ]]  # psql does not end with pg_dump's code
  echo "$what: database $database dumped, $(stat --format=%s -- "$DUMP") bytes" >&2
done
