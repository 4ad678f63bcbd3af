# Every target does its own set-up, and is quick when that is done already.
# FOR=30 ends `make run` after 30 s.

VENV    ?= .venv
PYTHON  ?= $(shell command -v python3.13 || command -v python3)
BIN     := $(VENV)/bin
AZURITE := probe/lab/azurite
FOR     ?=

.DEFAULT_GOAL := help
.PHONY: help run demo test bench docs check setup lock clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: setup ## The lab and the whole function app on it, until Ctrl-C (FOR=30: for 30 s)
	@exec $(BIN)/python -m probe.lab run $(if $(FOR),--for $(FOR))

demo: setup ## A scripted outage, live on the terminal, then a computed summary
	@exec $(BIN)/python -m probe.lab demo

test: setup ## All tests
	@$(BIN)/python -m pytest

bench: setup ## Measure what an outage costs a reader
	@PYTHONPATH=. $(BIN)/python tests/bench/outage.py

docs: setup ## Renew the README's generated parts
	@$(BIN)/python -m probe.lab.docs

check: setup ## The gates beside the tests: format, lint, types, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

setup: $(VENV)/.done $(AZURITE)/node_modules/.done ## Install what the other targets need

$(VENV)/.done: requirements.txt tests/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' || \
	  { echo "Python 3.13 is needed, as python3.13 or python3 on the PATH (found: $$($(PYTHON) --version 2>&1))."; exit 2; }
	@echo "Installing the Python packages into $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt -r tests/requirements.txt
	@touch $@

$(AZURITE)/node_modules/.done: $(AZURITE)/package-lock.json
	@node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' || \
	  { echo "Node.js 20 or later is needed, with npm (found: $$(node --version 2>&1))."; exit 2; }
	@echo "Installing Azurite into $(AZURITE) …"
	@cd $(AZURITE) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

lock: ## Pin the packages anew, with hashes
	@$(BIN)/python -m pip install --quiet pip-tools
	@$(BIN)/pip-compile $(LOCK) -o requirements.txt pyproject.toml
	@$(BIN)/pip-compile $(LOCK) -o tests/requirements.txt tests/requirements.in

LOCK := --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url \
	--no-emit-find-links --no-emit-trusted-host --no-emit-options --no-header

clean: ## Remove what set-up installed
	@rm -rf $(VENV) $(AZURITE)/node_modules
