# Every target does its own set-up, and is quick when that is done already.
# FOR=30 ends `make run` after 30 s; CHURN=1 has it run each tick in a new process.
# SHARE=0.1 runs a tenth of each long test.

VENV    ?= .venv
PYTHON  ?= $(shell command -v python3.13 || command -v python3)
BIN     := $(VENV)/bin
AZURITE := probe/lab/account/azurite
BROWSER := tests/browser
FOR     ?=
SAMPLES ?=
CHURN   ?=
SHARE   ?= 1
# Most tests wait for something most of the time: three processes keep two cores busy.
PROCESSES ?= 3

.DEFAULT_GOAL := help
.PHONY: help run demo recording test test-long test-runtimes bench side-by-side matrix churn volume backends golden snapshots docs pictures fix check ready setup lock clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ready ## The lab and the whole function app on it, until Ctrl-C (FOR=30: for 30 s)
	@exec $(BIN)/python -m probe.lab run $(if $(FOR),--for $(FOR)) $(if $(CHURN),--churn)

demo: ready ## A scripted outage, live on the terminal, then a computed summary
	@exec $(BIN)/python -m probe.lab demo

recording: ready ## Record the demo as the picture that the README shows
	@$(BIN)/python -m probe.lab demo --record .github/demo.svg

test: setup ## All tests, divided among PROCESSES (3)
	@$(BIN)/python -m pytest -n $(PROCESSES)

test-long: ready ## What takes minutes: the long forms of tests (SHARE=0.1: a tenth of each)
	@SHARE=$(SHARE) $(BIN)/python -m pytest -n $(PROCESSES) -m long tests/*/

test-runtimes: ready ## The app on each Functions runtime that Azure may bring along, on both event loops
	@PROCESSES=$(PROCESSES) $(BIN)/python tests/worker/runtimes.py

check: setup ## The gates beside the tests: format, lint, types, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: setup ## Measure what a tick costs, and what an outage costs a reader (SAMPLES=1: a short run, kept nowhere)
	@$(BIN)/python -m tests.bench $(SAMPLES)
	@$(BIN)/python -m tests.docs

side-by-side: ready ## The same outages met by this probe's reader and by four other clients (2 min)
	@$(BIN)/python -m tests.bench.side_by_side

matrix: ready ## Every fault at each location in each state of the breaker, and outages that come and go (5 min)
	@$(BIN)/python -m tests.faults.matrix
	@$(BIN)/python -m tests.faults.unsteady

churn: ready ## An hour of ticks, each in a process that is killed: what was made and what of it was told
	@$(BIN)/python -m probe.lab.telemetry.churn

volume: ready ## Measure the telemetry of one target, and its monthly cost
	@$(BIN)/python -m probe.lab.telemetry.volume

backends: ready ## Measure what a failing telemetry backend adds to a tick
	@$(BIN)/python -m probe.lab.telemetry.backends

golden: ready ## Capture anew what the real exporter sends, into tests/telemetry/golden
	@$(BIN)/python -m probe.lab.telemetry.capture

snapshots: setup ## Make the Bicep snapshots anew (bicep, az bicep, or the command in BICEP)
	@$(BIN)/python -m tests.infra.bicep

docs: setup ## Renew what is generated in the READMEs and the workbook
	@$(BIN)/python -m tests.docs

pictures: setup ## Take the README's pictures of the status page anew (needs chromium)
	@$(BIN)/python -m tests.browser.pictures

fix: setup ## Format, and renew all that is generated: golden files, snapshots, workbook, pages
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix . || true
	@$(BIN)/python -m probe.lab.telemetry.capture
	@$(BIN)/python -m tests.infra.bicep --if-there
	@$(BIN)/python -m tests.docs

ready: $(VENV)/.done $(AZURITE)/node_modules/.done

setup: ready $(BROWSER)/node_modules/.done ## Install what every target needs
	@VENV=$(VENV) tests/infra/setup

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

$(BROWSER)/node_modules/.done: $(BROWSER)/package-lock.json
	@echo "Installing what drives a browser into $(BROWSER) …"
	@cd $(BROWSER) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

lock: ## Pin the packages anew, with hashes
	@$(BIN)/python -m pip install --quiet pip-tools
	@$(BIN)/pip-compile $(LOCK) -o requirements.txt pyproject.toml
	@for each in tests tests/infra tests/infra/checkov; do \
	  $(BIN)/pip-compile $(LOCK) -o $$each/requirements.txt $$each/requirements.in || exit; done

LOCK := --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url \
	--no-emit-find-links --no-emit-trusted-host --no-emit-options --no-header

clean: ## Remove what set-up installed
	@rm -rf $(VENV) $(AZURITE)/node_modules $(BROWSER)/node_modules tests/infra/kusto/node_modules tests/infra/checkov/.venv \
	  tests/worker/runtimes/*/
