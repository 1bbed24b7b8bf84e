#!/bin/bash
# Run a command with a Docker engine of its own, where no image registry need be reachable.
#
#   tests/deploy/engine.sh COMMAND...
#
# As root on Debian 12; asks Debian's mirror and PyPI. The engine has its own socket and data folder
# and disturbs no other; everything but CACHE is taken away at the end, however it ends. Stand-ins
# for the upstream images are built from Debian's packages under the names the compose files use:
# they prove our Dockerfile, compose files, health checks and wiring, not the upstream images.
#
#   WORK=DIR   where the engine lives; on a real file system, some 25 GB (default: /var/tmp/sasam-compose)
#   CACHE=DIR  keeps packages and root file systems for the next run (default: WORK/cache)
#   KEEP=1     leave the engine and its images up: kill $(cat WORK/dockerd.pid) ends it
set -euo pipefail

WORK=${WORK:-/var/tmp/sasam-compose}
CACHE=${CACHE:-$WORK/cache}
BRIDGE=sasam-engine # of our own: another engine's docker0 stays as it is
BRIDGE_ADDRESS=172.31.250.1
PACKAGES_PORT=18099
START=$(date +%s)
export DOCKER_HOST=unix://$WORK/docker.sock DOCKER_CONFIG=$WORK/docker-config DOCKER_BUILDKIT=1
export DEBIAN_FRONTEND=noninteractive

say() { printf '[%4d s] %s\n' $(($(date +%s) - START)) "$*"; }

main() {
    [ "$(id -u)" = 0 ] || refuse "must run as root"
    grep -q '^12' /etc/debian_version 2>/dev/null || refuse "needs Debian 12"
    mkdir -p "$WORK" "$CACHE" "$WORK/context"
    trap clean EXIT
    install_tools
    start_engine
    build_stand_ins
    configure_pip
    "$@"
}

refuse() {
    echo "$0: $1" >&2
    exit 69
}

# Debian 12's runc and iptables; compose, buildx and engine of Debian 13, unpacked beside them, since
# Debian 12's compose knows neither build secrets nor !reset.
install_tools() {
    mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -1)
    mirror=${mirror:-http://deb.debian.org/debian}
    for package in docker.io debootstrap iptables iproute2; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' && continue
        apt-get update -q >"$WORK/apt.log" 2>&1 || true
        apt-get install -y -q --no-install-recommends docker.io debootstrap iptables \
            iproute2 >>"$WORK/apt.log" 2>&1
        break
    done
    if [ ! -d "$CACHE/debs" ]; then
        local apt=$WORK/apt part=$CACHE/debs.part
        mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$part"
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$apt/list"
        local options=(-q -o Dir::Etc::sourcelist="$apt/list" -o Dir::Etc::sourceparts=-
            -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root)
        apt-get "${options[@]}" update >/dev/null
        (cd "$part" && apt-get "${options[@]}" download docker-compose docker-buildx docker.io \
            docker-cli containerd >/dev/null)
        mv "$part" "$CACHE/debs"
    fi
    for package in "$CACHE"/debs/*.deb; do dpkg -x "$package" "$WORK/tools"; done
    mkdir -p "$DOCKER_CONFIG/cli-plugins"
    cp "$WORK"/tools/usr/libexec/docker/cli-plugins/docker-{compose,buildx} "$DOCKER_CONFIG/cli-plugins/"
    export PATH=$WORK/tools/usr/sbin:$WORK/tools/usr/bin:$PATH
    say "compose $(docker compose version --short)"
}

start_engine() {
    mkdir -p "$WORK/data" "$WORK/run"
    ip link show "$BRIDGE" >/dev/null 2>&1 || ip link add "$BRIDGE" type bridge
    ip address replace "$BRIDGE_ADDRESS/24" dev "$BRIDGE"
    ip link set "$BRIDGE" up
    setsid dockerd --data-root "$WORK/data" --exec-root "$WORK/run" --pidfile "$WORK/dockerd.pid" \
        -H "$DOCKER_HOST" --group root --bridge "$BRIDGE" --storage-driver overlay2 \
        >"$WORK/dockerd.log" 2>&1 </dev/null &
    for _ in $(seq 120); do docker info >/dev/null 2>&1 && break || sleep .5; done
    docker info -f 'engine {{.ServerVersion}}' || { tail -20 "$WORK/dockerd.log" && exit 1; }
    say "engine up"
}

debian() { # suite
    if [ ! -s "$CACHE/$1.tar" ]; then
        rm -rf "$WORK/rootfs"
        debootstrap --variant=minbase --include=ca-certificates "$1" "$WORK/rootfs" "$mirror" \
            >"$WORK/debootstrap-$1.log" 2>&1
        rm -rf "$WORK"/rootfs/var/cache/apt/archives/*.deb "$WORK"/rootfs/var/lib/apt/lists/*
        tar -C "$WORK/rootfs" -cf "$CACHE/$1.tar.part" . && mv "$CACHE/$1.tar.part" "$CACHE/$1.tar"
        rm -rf "$WORK/rootfs"
    fi
    docker import -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
        "$CACHE/$1.tar" "local/debian:$1" >/dev/null
}

build() { docker build -q -t "$1" -f - "${2:-$WORK/context}" >/dev/null && say "stand-in for $1"; }

build_stand_ins() {
    debian bookworm
    debian trixie
    build python:3.11-slim-bookworm <<'DOCKERFILE'
FROM local/debian:bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv python3-pip \
 && apt-get clean && rm -rf /var/lib/apt/lists/* /usr/lib/python3.*/EXTERNALLY-MANAGED \
 && ln -sf python3 /usr/bin/python
CMD ["python3"]
DOCKERFILE
    build postgres:17 "$(dirname "$0")/stand-ins" <<'DOCKERFILE'
FROM local/debian:trixie
RUN apt-get update && mkdir -p /etc/postgresql-common \
 && echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf \
 && apt-get install -y --no-install-recommends postgresql-17 && rm -rf /var/lib/apt/lists/* \
 && install -d -o postgres -g postgres -m 700 /var/lib/postgresql/data \
 && install -d -o postgres -g postgres -m 3777 /var/run/postgresql \
 && install -d /docker-entrypoint-initdb.d
ENV PATH=/usr/lib/postgresql/17/bin:$PATH PGDATA=/var/lib/postgresql/data LANG=C.UTF-8
COPY --chmod=755 postgres-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
VOLUME /var/lib/postgresql/data
ENTRYPOINT ["docker-entrypoint.sh"]
STOPSIGNAL SIGINT
CMD ["postgres"]
DOCKERFILE
    build caddy:2.10 <<'DOCKERFILE'
FROM local/debian:trixie
RUN apt-get update && apt-get install -y --no-install-recommends caddy && rm -rf /var/lib/apt/lists/* \
 && install -d /data
CMD ["caddy", "run"]
DOCKERFILE
    build prom/prometheus:v3.5.0 <<'DOCKERFILE'
FROM local/debian:trixie
RUN apt-get update && apt-get install -y --no-install-recommends prometheus && rm -rf /var/lib/apt/lists/* \
 && install -d -o 65534 -g 65534 /prometheus
ENTRYPOINT ["prometheus"]
DOCKERFILE
}

# What pip is configured to do on this machine, also inside a build: its certificates come as a
# secret, its folders over HTTP.
configure_pip() {
    export CA_BUNDLE_FILE=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt} PIP_CONF_FILE=$WORK/pip.conf
    local folders
    folders=$(python3 -m pip config get global.extra-index-url 2>/dev/null | tr ' ' '\n' | sed -n 's,^file://,,p')
    printf '[global]\ncert = /run/secrets/ca_bundle\nroot-user-action = ignore\ndisable-pip-version-check = true\n' >"$PIP_CONF_FILE"
    [ -z "$folders" ] && return
    export TORCH_INDEX_URL= # torch lies there too
    mkdir -p "$WORK/packages"
    local urls="" number=0
    for folder in $folders; do
        ln -sfn "$(dirname "$folder")" "$WORK/packages/$number"
        urls="$urls http://$BRIDGE_ADDRESS:$PACKAGES_PORT/$number/$(basename "$folder")"
        number=$((number + 1))
    done
    (cd "$WORK/packages" && exec python3 -m http.server --bind "$BRIDGE_ADDRESS" "$PACKAGES_PORT" >/dev/null 2>&1) &
    echo $! >"$WORK/packages.pid"
    printf 'extra-index-url = %s\ntrusted-host = %s\n' "${urls# }" "$BRIDGE_ADDRESS" >>"$PIP_CONF_FILE"
}

clean() {
    local status=$?
    trap - EXIT
    [ "${KEEP:-}" = 1 ] && exit $status
    set +e
    [ -s "$WORK/packages.pid" ] && kill "$(cat "$WORK/packages.pid")"
    if [ -s "$WORK/dockerd.pid" ]; then
        docker ps -aq | xargs -r docker rm -fv >/dev/null 2>&1
        docker network prune -f >/dev/null 2>&1 # no bridge is left
        local engine
        engine=$(cat "$WORK/dockerd.pid")
        kill "$engine"
        for _ in $(seq 60); do kill -0 "$engine" 2>/dev/null && sleep .5 || break; done
    fi
    ip link delete "$BRIDGE" 2>/dev/null
    umount "$WORK/run/netns/default" 2>/dev/null
    for entry in "$WORK"/* ; do [ "$entry" = "$CACHE" ] || rm -rf "$entry"; done
    say "cleaned, exit $status"
    exit $status
}

main "$@"
