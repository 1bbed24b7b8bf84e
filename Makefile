# Two commands need nothing but Python 3.11, make and git: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
WORKERS ?= 2
# The tests start hundreds of processes: keep bytecode also where the environment forbids it.
PYTEST = OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest

# AREA=service/sensitivity or workers/journal: the tests of one folder or module.
AREA_MODULE = $(dir $(AREA))test_$(notdir $(AREA)).py
AREA_TESTS = $(wildcard $(foreach kind,unit integration,tests/$(kind)/$(AREA) tests/$(kind)/$(AREA_MODULE)))

.DEFAULT_GOAL := help
.PHONY: help install demo up test test-fast test-compose lint format types imports chaos fuzz load bench bench-smoke bench-method bench-coverage study study-report lock clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(INSTALLED): requirements.lock pyproject.toml
	@echo "Installing the locked dependencies into $(VENV); this takes some minutes."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

install: $(INSTALLED) ## Make the virtual environment, from the lock file

demo: install ## Run the paper's grid on digits: service, Ray, MLflow, 80 trials (EXIT=1 ends after)
	@$(BIN)/sasam demo $(if $(EXIT),--exit)

up: install ## Start the service, Ray and MLflow on this machine
	@$(BIN)/sasam up

ifdef AREA
test: install
	$(if $(AREA_TESTS),,$(error AREA=$(AREA) has no tests: give a folder or module such as service/sensitivity or workers/journal))
	$(PYTEST) -n $(WORKERS) $(AREA_TESTS)
else
test: install lint types imports ## Lint, types, import contracts and all tests (AREA=service/sensitivity: its tests only)
	$(PYTEST) -n $(WORKERS) --durations=25 tests
endif

test-fast: install ## Unit tests, without the slow ones
	$(PYTEST) -n $(WORKERS) -m "not slow" tests/unit

test-compose: install ## Build the images and run the compose deployment on a Docker engine of its own (root, Debian 12)
	tests/deploy/engine.sh $(BIN)/python -m pytest -p no:xdist tests/deploy/test_compose.py tests/deploy/scenario.py -o log_cli=true --log-cli-level=INFO

lint: install ## Style, and known vulnerabilities of the locked versions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tests/audit.py

format: install ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: install
	$(BIN)/mypy

imports: install
	$(BIN)/lint-imports

chaos: install ## Kill parts of a running sweep at random, 20 rounds; nothing may be lost (ROUNDS, SEED)
	OMP_NUM_THREADS=1 $(BIN)/python tests/chaos --rounds $(or $(ROUNDS),20) --seed $(or $(SEED),0)

fuzz: install ## Send every route 20,000 strange requests on each database (REQUESTS, SEED)
	SASAM_FUZZ_REQUESTS=$(or $(REQUESTS),20000) SASAM_FUZZ_SEED=$(or $(SEED),0) \
	  $(PYTEST) -p no:xdist tests/integration/service/security/test_strange_requests.py

load: install ## Let 200 clients read a running sweep for a minute
	OMP_NUM_THREADS=1 $(BIN)/python tests/chaos/readers.py

bench: install ## Measure the service beside what a user would write instead, and write docs/benchmarks.md (two hours; PARTS)
	for part in $(or $(PARTS),throughput overhead start step arrays service scale); do \
	  OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/bench_$$part.py --output docs/benchmarks.md || exit 1; done

bench-smoke: install ## Refuse costs that are twice the recorded ones: a step, a product, a summary (a minute)
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/bench_smoke.py

bench-method: install ## Measure optimizers and curvature against their peers (CIFAR=path of an .npz)
	$(BIN)/python tests/benchmarks/bench_optimizers.py --output docs/benchmarks-optimizers.md
	$(BIN)/python tests/benchmarks/bench_curvature.py --data $(CIFAR)

bench-coverage: install ## Measure what the intervals of summaries cover, on simulated sweeps (REPEATS)
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/bench_coverage.py --repeats $(or $(REPEATS),200) --output docs/coverage.md

study: install ## Test the paper's claims, continuing where it was; an estimated 40 minutes on two idle cores (PARTS, SASAM_STUDY_DATA, CONDITIONS)
	OMP_NUM_THREADS=1 $(BIN)/python -m study run $(PARTS) $(if $(FORCE),--force) \
	  $(if $(CONDITIONS),--conditions "$(CONDITIONS)")

study-report: install ## Make docs/reproduction.md from the committed records
	$(BIN)/python -m study report

lock: install ## Resolve the dependencies anew; torch stays where it is pinned
	printf 'torch==2.14.1\ntorchvision==0.29.1\n' > $(VENV)/pins.txt
	$(BIN)/uv pip compile pyproject.toml --extra workers --extra service --group dev \
	  --universal --python-version 3.11 --constraint $(VENV)/pins.txt --generate-hashes \
	  --no-emit-index-url --custom-compile-command 'make lock' --quiet --output-file requirements.lock
	deploy/lock.sh $(BIN)

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
