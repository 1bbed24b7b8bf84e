#!/bin/sh
# Make the secrets that are missing, at random; those that are there stay.
#
# usage: deploy/secrets.sh [FOLDER]
#
# Only the owner of the folder enters it. The files themselves can be read by any user, because
# containers run as users of their own.
set -eu
folder=${1:-"$(dirname "$0")/../secrets"}
mkdir -p "$folder"
chmod 700 "$folder"
for name in postgres_password service_db_password mlflow_db_password admin_token ray_token \
    webhook_secret grafana_password; do
    [ -s "$folder/$name" ] && continue
    (umask 077 && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$folder/$name")
    chmod 444 "$folder/$name"
    echo "made $folder/$name"
done
