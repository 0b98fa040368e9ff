# Commands of the project; each sets up what it needs, so all of them work in a fresh clone.
#   make run     materialise the whole lineage (profile offline unless CHILLGUARD_PROFILE says else)
#   make test    make check, then all tests
#   make check   format, lint, types, import contracts, dead code, code location loads
#   make ui      Dagster in the browser on 127.0.0.1:3000 (PORT=… for another)
#   make lock    pin the requirements anew after a change of pyproject.toml
#   make clean   remove outputs and environment

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := run
.PHONY: run test check ui lock clean home

PYTHON ?= $(or $(shell command -v python3.11),python3)
PORT ?= 3000
BIN := .venv/bin
export CHILLGUARD_HOME := $(abspath $(or $(CHILLGUARD_HOME),data))
export DAGSTER_HOME := $(CHILLGUARD_HOME)/dagster
UV := $(BIN)/uv pip --quiet
QUIET := {"loggers":{"console":{"config":{"log_level":"INFO"}}}}

run: .venv/core home
	PYTHONWARNINGS=ignore $(BIN)/dagster asset materialize -m pipelines.definitions --select '*' --config-json '$(QUIET)'
	$(BIN)/python -m pipelines.summary

test: check
	OMP_NUM_THREADS=1 $(BIN)/pytest

check: .venv/dev home
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	PYTHONWARNINGS=ignore $(BIN)/dagster definitions validate -w workspace.yaml

ui: .venv/core home
	PYTHONWARNINGS=ignore $(BIN)/dagster dev -h 127.0.0.1 -p $(PORT) -w workspace.yaml

lock: .venv/bin/uv
	$(UV) compile pyproject.toml --generate-hashes --no-header --no-annotate --python-version 3.11 -o requirements/core.txt
	$(UV) compile pyproject.toml --generate-hashes --no-header --no-annotate --python-version 3.11 --extra dev -o requirements/dev.txt

clean:
	rm -rf .venv data .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info

home:
	mkdir -p "$(DAGSTER_HOME)"
	cp dagster.yaml "$(DAGSTER_HOME)/dagster.yaml"

.venv/bin/uv:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv==0.13.8

.venv/core: requirements/core.txt pyproject.toml | .venv/bin/uv
	$(UV) install --compile-bytecode --require-hashes -r requirements/core.txt
	$(UV) install --no-deps --editable .
	touch $@

.venv/dev: requirements/dev.txt .venv/core
	$(UV) install --compile-bytecode --require-hashes -r requirements/dev.txt
	touch $@
