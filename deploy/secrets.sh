#!/bin/sh
# Create missing secrets at random; existing ones are kept.
#
# usage: deploy/secrets.sh [FOLDER]
#
# Only the owner may enter the folder. The files are readable by all users, because containers run as
# other users.
set -eu
folder=${1:-"$(dirname "$0")/../secrets"}
mkdir -p "$folder"
chmod 700 "$folder"
for name in postgres_password service_db_password mlflow_db_password admin_token ray_token \
    webhook_secret grafana_password; do
    [ -s "$folder/$name" ] && continue
    (umask 077 && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$folder/$name")
    chmod 444 "$folder/$name"
    echo "created $folder/$name"
done
