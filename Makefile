# Two commands matter: `make up` deploys a model on this machine, `make test` runs every test.
STACK ?= local-sagemaker
PYTHON ?= python3
UV_VERSION := 0.13.9
PY := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup up down env test test-node bench lint lock

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: .venv/.ready ## Make the locked virtual environment

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or later is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1): make PYTHON=python3.12 …" >&2; exit 1; }
	@echo "Making the virtual environment .venv from requirements.lock; the first time downloads about 600 MB …" >&2
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@.venv/bin/uv --version 2>/dev/null | grep -qF '$(UV_VERSION)' || .venv/bin/pip install -q --disable-pip-version-check uv==$(UV_VERSION) >&2
	@VIRTUAL_ENV=.venv .venv/bin/uv pip sync -q --require-hashes requirements.lock >&2
	@VIRTUAL_ENV=.venv .venv/bin/uv pip install -q --no-deps -e . >&2
	@touch $@

up: setup ## Deploy a stack and ask it for a prediction (STACK=local-sagemaker)
	@$(PY) -m sandbox up $(STACK)

down: setup ## Destroy the stack and stop the sandbox
	@$(PY) -m sandbox down $(STACK)

env: setup ## Print what a shell needs: eval "$$(make -s env)"
	@$(PY) -m sandbox env $(STACK)

test: setup ## Run every test
	@$(PY) -m pytest

test-node: setup ## Run the tests that need a Kubernetes node of the sandbox's own; Linux, root
	@MODELBERTH_NODE=1 $(PY) -m pytest tests/unit/kubernetes_cluster tests/conformance -k "kubernetes"

bench: setup ## Measure beside plain Pulumi programs; takes ten minutes
	@$(PY) -m tests.bench

lint: setup ## Check style and types
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/pyright

lock: setup ## Resolve requirements.lock anew
	@.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --all-extras --group dev pyproject.toml -o requirements.lock
