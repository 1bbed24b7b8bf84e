#!/bin/sh
# Back up a running deployment: the service's tables, MLflow's database, its artifacts.
#
# usage: deploy/backup.sh FOLDER     (must not exist; COMPOSE="docker compose -f ..." for overrides)
#
# Checkpoints and data sets are not included: unfinished trials start from the beginning.
set -eu
folder=${1:?usage: deploy/backup.sh FOLDER}
compose=${COMPOSE:-docker compose}
umask 077
mkdir -p "$(dirname "$folder")"
mkdir "$folder"

# The service first: what MLflow records after that is read when the restored service starts.
$compose exec -T service sh -c \
    'sasam backup /tmp/backup.tar.gz >&2 && cat /tmp/backup.tar.gz; rm -f /tmp/backup.tar.gz' \
    >"$folder/service.tar.gz"
$compose exec -T postgres pg_dump --username postgres --format custom mlflow >"$folder/mlflow.dump"
# Trials may add files meanwhile: tar then ends with status 1, and its archive is complete.
$compose exec -T mlflow sh -c \
    'tar -C /var/lib/mlflow/artifacts --warning=no-file-changed -cz . || [ $? -eq 1 ]' \
    >"$folder/artifacts.tar.gz"
for file in service.tar.gz mlflow.dump artifacts.tar.gz; do
    [ -s "$folder/$file" ] || { echo "sasam: $folder/$file is empty: the backup failed" >&2; exit 1; }
done
