# Every target makes its environment first: .venv, from the locked requirements.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help run dev serve doctor test test-slow test-compose check format bench bench-serving lock clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/run ## Raw files to tables, features and a trained model, in one Dagster run
	$(BIN)/stock-assets run

dev: .venv/run ## Start the Dagster UI (port 3000) and the prediction service (port 8000); Ctrl-C stops both
	@$(BIN)/stock-assets dev

serve: .venv/run ## Start the prediction service alone (port 8000)
	@$(BIN)/python -m serving

doctor: .venv/run ## Check the environment and say what to do
	$(BIN)/stock-assets doctor

test: .venv/dev ## Run the default tests
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow"

test-slow: .venv/dev ## Run the slow tests: killed runs, real servers, a real browser
	$(BIN)/pytest -m slow

test-compose: .venv/dev ## Build the images and run docker-compose.yaml with podman: needs root and Debian bookworm
	TEST_COMPOSE=1 $(BIN)/pytest -n 0 -s tests/deploy/test_compose.py

check: .venv/dev ## Check format, lint, types and the Dagster definitions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/dg check defs

format: .venv/dev ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/dev ## Time a full-size run beside hand-written scripts, and refreshes of a few files (about 15 minutes)
	$(BIN)/python -m benchmarks.full_size
	$(BIN)/python -m benchmarks.refresh

bench-serving: .venv/dev ## Time the service beside FastAPI's ceiling and the published sample, and promote under load (about 5 minutes)
	$(BIN)/python -m benchmarks.serving
	$(BIN)/python -m benchmarks.promotions

lock: .venv/dev ## Resolve the locked requirements anew from pyproject.toml
	$(BIN)/uv pip compile $(LOCK) --group build -o requirements.lock pyproject.toml
	$(BIN)/uv pip compile $(LOCK) --group dev -c requirements.lock -o requirements-dev.lock pyproject.toml
	$(BIN)/uv pip compile $(LOCK) --group build --extra dask --extra postgres -c requirements-dev.lock \
		-o requirements-server.lock pyproject.toml
	$(BIN)/uv pip compile $(LOCK) --group serving -c requirements-dev.lock -o requirements-serving.lock

LOCK := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-strip-extras \
	--custom-compile-command "make lock"

clean: ## Remove the environment and what tools cached; data stays
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis dist

.venv/run: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev: requirements-dev.lock .venv/run
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@
