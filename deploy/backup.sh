#!/bin/sh
# Back up a running deployment: the service's tables, MLflow's database, its artifacts.
#
# usage: deploy/backup.sh FOLDER     (a new one; COMPOSE="docker compose -f ..." for overrides)
#
# Checkpoints and data sets are no part of it: trials that were unfinished start anew.
set -eu
folder=${1:?usage: deploy/backup.sh FOLDER}
compose=${COMPOSE:-docker compose}
umask 077
mkdir -p "$(dirname "$folder")"
mkdir "$folder"

# The service first: what MLflow has recorded since then is taken in when the service starts.
$compose exec -T service sh -c \
    'sasam backup /tmp/backup.tar.gz >&2 && cat /tmp/backup.tar.gz; rm -f /tmp/backup.tar.gz' \
    >"$folder/service.tar.gz"
$compose exec -T postgres pg_dump --username postgres --format custom mlflow >"$folder/mlflow.dump"
# Trials may add files meanwhile: tar says so with 1, and what it has is whole.
$compose exec -T mlflow sh -c \
    'tar -C /var/lib/mlflow/artifacts --warning=no-file-changed -cz . || [ $? -eq 1 ]' \
    >"$folder/artifacts.tar.gz"
for file in service.tar.gz mlflow.dump artifacts.tar.gz; do
    [ -s "$folder/$file" ] || { echo "sasam: $folder/$file is empty: no backup" >&2; exit 1; }
done
