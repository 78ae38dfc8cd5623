#!/usr/bin/env bash
# What the official image's entry point does with POSTGRES_USER, _PASSWORD, _DB and _INITDB_ARGS, run as its user.
set -euo pipefail

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # shellcheck disable=SC2086 # several arguments
    initdb --username="$POSTGRES_USER" --pwfile=<(echo "$POSTGRES_PASSWORD") $POSTGRES_INITDB_ARGS >/dev/null
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    PGPASSWORD=$POSTGRES_PASSWORD pg_ctl -w -o "-c listen_addresses='' -k /var/run/postgresql" start >/dev/null
    PGPASSWORD=$POSTGRES_PASSWORD createdb -h /var/run/postgresql -U "$POSTGRES_USER" "$POSTGRES_DB"
    pg_ctl -w -m fast stop >/dev/null
fi
exec "$@" -c "listen_addresses=*"
