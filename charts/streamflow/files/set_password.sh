# Gives the server's user the password of its Secret, whichever it had, as the server starts: over the
# socket, where who is in the pod needs none. Never fails, since a hook that does ends the server; the
# server's log, of which this is the place, tells why nothing was set.
log=${LOG:-/proc/1/fd/2}
export PGAPPNAME=streamflow-password PGCONNECT_TIMEOUT=5 PGUSER=$POSTGRES_USER PGDATABASE=postgres
give_up=$((SECONDS + ${WAIT_S:-60}))
until
  # The one that prepares a new data directory may end in the middle of it.
  said=$(psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 2>&1 <<'SQL'
\getenv user POSTGRES_USER
\getenv password POSTGRES_PASSWORD
ALTER ROLE :"user" PASSWORD :'password';
SQL
  )
do
  if ((SECONDS >= give_up)); then
    echo "the password of $POSTGRES_USER was left as it is, not set to that of its Secret: $said" >"$log"
    break
  fi
  sleep 1
done
exit 0
