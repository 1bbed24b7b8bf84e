#!/bin/sh
# Write the requirements of each image: subsets of requirements.lock, with hashes. Run by `make lock`.
set -eu
cd "$(dirname "$0")/.."
BIN=${1:-.venv/bin}

requirements() { # the dependencies of the package itself ("method") or of its extras
    "$BIN/python" - "$@" <<'PYTHON'
import sys
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
groups = {"method": project["dependencies"]} | project["optional-dependencies"]
print("\n".join(line for name in sys.argv[1:] for line in groups[name]))
PYTHON
}

pin() { # requirements on standard input and their dependencies, at the versions of requirements.lock
    output=$1
    shift
    "$BIN/uv" pip compile - --universal --python-version 3.11 --constraint requirements.lock \
        --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command 'make lock' \
        --quiet "$@" --output-file "$output"
}

TORCH=$(grep -oE '^(torch|torchvision|triton|cuda-[a-z-]+|nvidia-[a-z0-9-]+)==' requirements.lock | tr -d =)
without_torch() { for name in $TORCH; do printf -- '--no-emit-package %s ' "$name"; done; }

echo 'setuptools>=77' | pin deploy/requirements-build.txt
requirements service | pin deploy/requirements-service.txt
# PostgreSQL's driver for the tracking store, S3's for artifacts.
printf '%s\n' 'mlflow>=3.17,<4' 'psycopg[binary]>=3.2' 'boto3>=1.35' | pin deploy/requirements-mlflow.txt
# With the dependencies of the command line: `sasam data` runs where the data sets are.
# opencv-python needs libraries of a desktop; the headless package has the same module.
# shellcheck disable=SC2046 # one option per word
{ requirements method workers && printf '%s\n' 'typer>=0.20' 'rich>=14' 'pydantic-settings>=2.10'; } |
    pin deploy/requirements-worker.txt --no-emit-package opencv-python $(without_torch)
# Separate, because torch may come from another index: another version of CUDA, or none.
awk -v names="$TORCH" '
    BEGIN { count = split(names, list); for (i = 1; i <= count; i++) known[list[i]] = 1 }
    /^[a-z]/ { split($0, parts, "=="); keep = parts[1] in known }
    keep && !/^ +#/ ' requirements.lock >deploy/requirements-torch.txt
