#!/bin/sh
# Restore a backup into a stopped deployment without volumes; start the deployment afterwards.
#
# usage: deploy/restore.sh FOLDER     (COMPOSE="docker compose -f ..." for overrides)
set -eu
folder=${1:?usage: deploy/restore.sh FOLDER}
compose=${COMPOSE:-docker compose}
for file in service.tar.gz mlflow.dump artifacts.tar.gz; do
    [ -s "$folder/$file" ] || { echo "sasam: $folder/$file is missing: not a complete backup" >&2; exit 1; }
done

$compose up -d --wait --no-build postgres
$compose run --rm -T --no-deps service sh -c \
    'cat >/tmp/backup.tar.gz && sasam restore /tmp/backup.tar.gz' <"$folder/service.tar.gz"
$compose exec -T postgres pg_restore --username postgres --role mlflow --no-owner --exit-on-error \
    --dbname mlflow <"$folder/mlflow.dump"
$compose run --rm -T --no-deps mlflow tar -C /var/lib/mlflow/artifacts -xz <"$folder/artifacts.tar.gz"
