#!/bin/sh
# Check that all secrets exist, give PostgreSQL's password to libpq, run the command.
set -eu

fail() {
    echo "sasam: $1" >&2
    exit 78 # EX_CONFIG
}

for variable in SASAM_ADMIN_TOKEN_FILE SASAM_RAY_TOKEN_FILE RAY_AUTH_TOKEN_PATH \
    PGPASSWORD_FILE SASAM_WEBHOOK_SECRET_FILE; do
    eval "file=\${$variable:-}"
    [ -z "$file" ] && continue
    [ -r "$file" ] || fail "$variable: $file is missing, or user $(id -u) may not read it"
    [ -s "$file" ] || fail "$variable: $file is empty; write a secret into it"
done

# In a file instead of the environment: commands of `docker compose exec` can use it too.
if [ -n "${PGPASSWORD_FILE:-}" ]; then
    (umask 077 && printf '*:*:*:*:%s\n' "$(tr -d '\n' <"$PGPASSWORD_FILE" | sed 's/[\\:]/\\&/g')" \
        >"$PGPASSFILE")
fi

exec "$@"
