# Everything here works from a fresh clone; `make help` lists it.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
CHAOS_SECONDS ?= 600

# Imports take twice as long without bytecode.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-unit test-conformance test-all test-part test-matrix coverage lint format bench chaos clean engine

help: ## list what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(INSTALLED): pyproject.toml scripts/install
	@PYTHON="$(PYTHON)" scripts/install
	@touch $@

engine: ## have a Docker engine and a Python base image
	@scripts/engine
	@scripts/base-image 3.11

demo: $(INSTALLED) engine ## train the example project in a container
	$(BIN)/container-backend run example_project -P n_jobs_param=2 --experiment-name "Salary Model"
	@echo
	@echo "Look at the run:  $(BIN)/mlflow ui  (then http://127.0.0.1:5000)"

test: $(INSTALLED) engine ## run the tests, on a real engine, but for the slow ones
	@scripts/test-packages
	scripts/test most

test-unit: $(INSTALLED) ## run the tests that need no engine
	$(BIN)/python -m pytest tests/unit -n 2 --dist worksteal

test-conformance: $(INSTALLED) engine ## run the tests that docs/coming-from-mlflow-run.md names
	@scripts/test-packages
	scripts/test conformance

test-all: $(INSTALLED) engine ## run everything: slow tests, all faults, the oldest versions, chaos
	@scripts/test-packages
	scripts/test all
	scripts/test-matrix
	$(MAKE) chaos

test-part: $(INSTALLED) engine ## run a part of what only test-all runs, another one each DAY
	@scripts/test-packages
	scripts/test part

coverage: $(INSTALLED) engine ## measure what `make test` covers, all processes included
	@scripts/test-packages
	rm -rf .coverage
	COVERAGE=1 scripts/test most
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

test-matrix: $(INSTALLED) engine ## run the tests that depend on MLflow with the oldest versions
	@scripts/test-matrix

lint: $(INSTALLED) ## check with ruff and mypy (strict)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict

format: $(INSTALLED) ## let ruff rewrite the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

chaos: $(INSTALLED) engine ## make things go wrong for CHAOS_SECONDS, or CHAOS_LOOPS times; CHAOS_SEED, CHAOS_JOURNAL
	@scripts/test-packages
	$(BIN)/python -m tests.faults.chaos --seconds $(CHAOS_SECONDS) \
	    $(if $(CHAOS_LOOPS),--loops $(CHAOS_LOOPS)) $(if $(CHAOS_SEED),--seed $(CHAOS_SEED)) \
	    $(if $(CHAOS_WORKERS),--workers $(CHAOS_WORKERS)) \
	    $(if $(CHAOS_JOURNAL),--journal $(CHAOS_JOURNAL))

bench: $(INSTALLED) engine ## measure against peers, as ratios
	@scripts/test-packages
	$(BIN)/python -m bench

clean: ## remove what was installed and made here
	rm -rf .venv .venv-oldest .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage build dist *.egg-info
