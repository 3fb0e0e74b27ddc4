# Lets the server start on data of its own major version only.
set -Eeuo pipefail
server=$(postgres --version)
server=${server#*) } server=${server%%[!0-9]*}
if [[ ! -s $PGDATA/PG_VERSION ]]; then
  echo "no data yet in $PGDATA: PostgreSQL $server makes it"
  exit 0
fi
found=$(<"$PGDATA/PG_VERSION")
if [[ $found == "$server" ]]; then
  echo "the data in $PGDATA is of PostgreSQL $found, as the server is"
  exit 0
fi
cat >&2 <<SAY
The data in $PGDATA is of PostgreSQL $found; this image's server is $server and cannot read it.
Nothing was changed. To move the data:
1. Go back to an image of PostgreSQL $found (postgres.image.tag; then delete this pod, which is not
   replaced by itself) and back up: kubectl create job --from=cronjob/$BACKUP $BACKUP-$found
2. Come again with this image and let a new, empty database be made:
   kubectl scale statefulset $STATEFULSET --replicas=0
   kubectl delete pvc $CLAIM
   kubectl scale statefulset $STATEFULSET --replicas=1
3. Restore, by helm upgrade: jobs.restore.backup=latest and jobs.restore.request="to PostgreSQL $server"
SAY
exit 1
