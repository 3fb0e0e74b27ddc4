# Restores dumps as a plan says, each in one transaction. Argument: the folder with the file
# `plan`, which has a line DATABASE TAB DUMP for each; both exist.
set -Eeuo pipefail
plan=$1
# One code for all failures: 2 and 3 would say that another attempt is of no use.
trap 'exit 1' ERR
export PGAPPNAME=streamflow-restore PGCONNECT_TIMEOUT=10
# As in dump.sh: a server that vanishes without a word ends the restore within half a minute.
alive="keepalives=1 keepalives_idle=10 keepalives_interval=5 keepalives_count=3 tcp_user_timeout=25000"
to() { printf "dbname='%s' %s" "$(sed "s/['\\\\]/\\\\&/g" <<<"$1")" "$alive"; }
while IFS=$'\t' read -r database dump; do
  restore=(pg_restore --exit-on-error --single-transaction --dbname="$(to "$database")")
  if ! "${restore[@]}" -- "$dump"; then
    # Roles of the server that was backed up may not be here.
    echo "once more without owners, grants and policies" >&2
    "${restore[@]}" --no-owner --no-privileges --no-policies -- "$dump"
    touch -- "$plan.plain"
  fi
  psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --dbname="$(to "$database")" --command=ANALYZE
  echo "$dump restored into database $database" >&2
done <"$plan"
