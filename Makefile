# Nuisflow: `make run` makes the default report, `make test` runs the tests. `make help` lists everything.
CONFIG  ?= config/config.yaml
PROFILE ?= default
CORES   ?= all
TORCH   ?= cpu
PYTHON  ?= $(shell command -v python3.11 || command -v python3)
SNAKEMAKE_ARGS ?=

TORCH_VERSION := 2.13.0
TORCH_INDEX   ?= https://download.pytorch.org/whl/cpu
VENV  := .venv
BIN   := $(VENV)/bin
READY := $(VENV)/.ready-$(TORCH)
TESTS := $(VENV)/.tests-$(TORCH)
CONFIGS := $(wildcard config/*.yaml)
# What a profile needs besides: only where it is used, since Snakemake imports every plugin at every start.
PLUGIN_slurm    := snakemake-executor-plugin-slurm==2.8.0
PLUGIN_htcondor := snakemake-executor-plugin-htcondor==0.3.0
PLUGIN := $(if $(PLUGIN_$(PROFILE)),$(VENV)/.ready-$(PROFILE))
# Bytecode is written by all cores at the end, not by one while pip installs, and not of the tests of others.
PIP = $(BIN)/pip install --quiet --progress-bar on --no-compile
BYTECODE = $(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib || true
SNAKEMAKE := $(BIN)/snakemake --workflow-profile workflow/profiles/$(PROFILE)

# One file of tests stays in one process, whose tests share what was made once. TEST_ARGS: e.g. "-k displaced --durations=20".
TEST_ARGS ?=
PYTEST = $(BIN)/python -m pytest --numprocesses=logical --maxprocesses=8 --dist=loadfile --no-loadscope-reorder $(TEST_ARGS)

export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
BENCHMARK_ARGS ?=

ANALYSIS = $(shell sed -n 's/^analysis: *\([a-z0-9_]*\).*/\1/p' $(CONFIG))

.PHONY: help install tools run inputs publication dry-run verify test test-all test-checked test-slurm plugin benchmark check format schema docs clean

help: ## Show what can be made
	@echo "make TARGET [CONFIG=config/….yaml] [PROFILE=default] [CORES=all] [TORCH=cpu|cuda]"
	@sed -n 's/^\([a-z-]*\):.*## /  \1: /p' Makefile

run: $(READY) $(PLUGIN) ## Run the analysis CONFIG to results/<analysis>/report.html
	@echo "==> Running $(CONFIG)"
	@$(BIN)/python scripts/run_workflow.py $(CONFIG) $(SNAKEMAKE) $(if $(PLUGIN),,--cores $(CORES)) $(SNAKEMAKE_ARGS)

inputs: $(READY) $(PLUGIN) ## Look at the features of CONFIG before any training: results/<analysis>/inputs.html
	@echo "==> Looking at the features of $(CONFIG)"
	@$(BIN)/python scripts/run_workflow.py $(CONFIG) $(SNAKEMAKE) $(if $(PLUGIN),,--cores $(CORES)) $(SNAKEMAKE_ARGS) write_inputs

publication: $(READY) $(PLUGIN) ## Write results/<analysis>/hepdata (a submission to HEPData) and latex (tables)
	@echo "==> Writing the publication of $(CONFIG)"
	@$(BIN)/python scripts/run_workflow.py $(CONFIG) $(SNAKEMAKE) $(if $(PLUGIN),,--cores $(CORES)) $(SNAKEMAKE_ARGS) write_publication

# With CONFIG given by the user: that one; else all.
dry-run: $(READY) ## Check CONFIG, or without it every shipped configuration, and list the jobs it would run
	@for config in $(if $(filter file,$(origin CONFIG)),$(CONFIGS),$(CONFIG)); do \
	  if grep -q 'NUISFLOW_DATA}' $$config && [ -z "$$NUISFLOW_DATA" ]; then \
	    echo "==> $$config is skipped: set NUISFLOW_DATA to the folder of its data"; continue; fi; \
	  echo "==> Dry run of $$config"; \
	  $(BIN)/python scripts/run_workflow.py $$config $(SNAKEMAKE) --cores $(CORES) $(SNAKEMAKE_ARGS) --dry-run --quiet rules \
	    || exit; done

verify: $(READY) ## Compare the results of CONFIG with the checksums in their RO-Crate
	$(BIN)/python scripts/verify_results.py results/$(ANALYSIS)

test: $(TESTS) ## Run the tests that are not marked slow, on all cores (a few minutes)
	@$(BIN)/python scripts/compile_likelihood.py
	@echo "==> Testing; all tests: make test-all"
	$(PYTEST) -m "not slow"

test-all: $(TESTS) ## Run all tests, on all cores
	@$(BIN)/python scripts/compile_likelihood.py
	@echo "==> Testing everything"
	$(PYTEST)

test-checked: $(TESTS) ## Run the tests of the likelihood with compiled code that checks every index
	NUMBA_BOUNDSCHECK=1 $(BIN)/python scripts/compile_likelihood.py
	NUMBA_BOUNDSCHECK=1 $(PYTEST) tests/likelihood tests/inference/unbinned --ignore=tests/likelihood/test_compilation.py

test-slurm: $(TESTS) ## Run the toy analysis on a private SLURM (root; installs SLURM where apt-get can)
	@$(MAKE) --no-print-directory PROFILE=slurm plugin
	$(BIN)/python tests/cluster/slurm.py --install

plugin: $(READY) $(PLUGIN)

benchmark: $(TESTS) ## Time likelihood, events and training against their peers: results/benchmark/summary.csv
	$(BIN)/python tests/benchmarks/write_summary.py $(BENCHMARK_ARGS)

check: $(TESTS) ## Check style, types and workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check workflow
	$(BIN)/snakemake --lint

format: $(TESTS) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt workflow

schema: $(READY) ## Write the schema of a configuration, for editors and for the catalogue of workflows
	$(BIN)/python scripts/export_schema.py

docs: $(TESTS) ## Build the site: build/docs/index.html, to be read without a network
	$(BIN)/python -m sphinx -q -W --keep-going -n docs build/docs
	@echo "==> build/docs/index.html"

install: $(READY) ## Install everything into .venv (TORCH=cuda for an NVIDIA GPU)

tools: $(TESTS) ## Install what the tests need too

$(VENV)/bin/python:
	@echo "==> Creating $(VENV) with $(PYTHON)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Nuisflow needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch for the CPU: the wheel marked +cpu, from wherever pip is set up to look, else from PyTorch's own index.
$(READY): envs/requirements.txt | $(VENV)/bin/python
	@echo "==> Installing (a few minutes the first time)"
ifeq ($(TORCH),cuda)
	$(PIP) "torch==$(TORCH_VERSION)"
	grep -v '^xgboost-cpu' $< > $(VENV)/requirements-cuda.txt && \
	  $(PIP) -r $(VENV)/requirements-cuda.txt "$$(sed -n 's/^xgboost-cpu/xgboost/p' $<)"
else ifeq ($(shell uname -s),Darwin)
	$(PIP) "torch==$(TORCH_VERSION)"
	sed 's/^xgboost-cpu/xgboost/' $< > $(VENV)/requirements-mac.txt && \
	  $(PIP) -r $(VENV)/requirements-mac.txt
else
	$(PIP) "torch==$(TORCH_VERSION)+cpu" 2>/dev/null || \
	  $(PIP) "torch==$(TORCH_VERSION)" --index-url $(TORCH_INDEX)
	$(PIP) -r $<
endif
	@$(BYTECODE)
	@echo "==> Compiling the likelihood (once)"
	$(BIN)/python scripts/compile_likelihood.py
	@touch $@

$(VENV)/.ready-$(PROFILE): $(READY)
	@echo "==> Installing what the profile $(PROFILE) needs"
	$(BIN)/pip install --quiet "$(PLUGIN_$(PROFILE))"
	@touch $@

$(TESTS): envs/requirements-test.txt envs/requirements-oracle.txt $(READY)
	@echo "==> Installing the tools of the tests"
	$(PIP) -r $<
	$(PIP) --no-deps -r envs/requirements-oracle.txt || \
	  echo "    (optional packages to compare with could not be installed: those tests are skipped)"
	@$(BYTECODE)
	@touch $@

clean: ## Remove the results of CONFIG
	@test -n "$(ANALYSIS)" || { echo "$(CONFIG) has no line 'analysis: …'"; exit 1; }
	rm -rf results/$(ANALYSIS)
