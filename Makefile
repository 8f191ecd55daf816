# Everything here works from a fresh clone; `make help` lists it.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

# Imports take twice as long without bytecode.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-unit test-integration lint format bench clean engine

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(INSTALLED): pyproject.toml scripts/install
	@PYTHON=$(PYTHON) scripts/install
	@touch $@

engine: ## a Docker engine and a Python base image, where there are none
	@scripts/engine
	@scripts/base-image 3.11

demo: $(INSTALLED) engine ## train the example project in a container
	$(BIN)/container-backend run example_project -P n_jobs_param=2 --experiment-name "Salary Model"
	@echo
	@echo "Look at the run with:  $(BIN)/mlflow ui"

test: $(INSTALLED) engine ## all tests
	@scripts/test-packages
	$(BIN)/python -m pytest tests/unit tests/integration

test-unit: $(INSTALLED) ## the tests that need no engine
	$(BIN)/python -m pytest tests/unit

test-integration: $(INSTALLED) engine ## the tests on a real engine
	@scripts/test-packages
	$(BIN)/python -m pytest tests/integration

lint: $(INSTALLED) ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(INSTALLED) ## let ruff rewrite the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(INSTALLED) engine ## measured against peers, as ratios
	$(BIN)/python -m bench

clean: ## remove what was installed and made here
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
