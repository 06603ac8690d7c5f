# `make help` says what there is. Needs Python >= 3.11 and make; everything else installs itself.
PYTHON ?= python3
VENV := .venv
OLDEST := .venv-oldest
RUN := $(VENV)/bin/python
GO := $(RUN) -m examples.stack go
PROCESSOR := collector/tenantcardinalityprocessor
TEST_OLDEST := OTEL_DYNABASE_STACK_PORTS=20000-26000 $(OLDEST)/bin/python -m pytest -q tests/unit tests/properties tests/integration --ignore-glob='*/test_stack_*'
RACE := $(if $(shell command -v $(or $(CC),cc) || command -v gcc || command -v clang),-race)

.DEFAULT_GOAL := help
.PHONY: help setup build demo signals panels up down test test-newest test-oldest test-oldest-aside test-collector check format screenshots mutate-rules docs conformance conformance-grafana bench-processor bench-overhead bench-soak bench-observe bench-ledger bench-capacity bench-cardinality bench-events bench-noise bench-detection

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F '\t' '{printf "  make %-17s %s\n", $$1, $$2}'

# --- setting up: once, and again only when what is pinned changes -----------------------------------------------------

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python >= 3.11 is needed, this is $$($(PYTHON) -V): run make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "== Python environment $(VENV) (about 1 minute, 1.1 GB)"
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install -q -U 'pip>=25.1'
	@$(RUN) -m pip install -q -e '.[all]' --group dev
	@touch $@

$(OLDEST)/.installed: pyproject.toml tests/oldest.txt
	@echo "== Python environment $(OLDEST), with the oldest supported versions (about 1 minute, 1.1 GB)"
	@test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	@$(OLDEST)/bin/python -m pip install -q -U 'pip>=25.1'
	@$(OLDEST)/bin/python -m pip install -q -e '.[all]' --group dev -c tests/oldest.txt
	@touch $@

setup: $(VENV)/.installed ## Make the Python environment

build: setup ## Build the collector, Prometheus and Alertmanager into the cache (about 7 minutes the first time)
	@$(RUN) -m examples.stack build

# --- the main job -----------------------------------------------------------------------------------------------------

demo: build ## Run the main job on real parts and print what Prometheus and ClickHouse say of it
	@$(RUN) -m examples.demo

signals: build ## Every metric and event of the catalogue, and where it was seen (about 2 minutes)
	@$(RUN) -m examples.signals

panels: build ## Every panel of Grafana's dashboards, asked of real stores, and what it touches (about 3 minutes)
	@$(RUN) -m examples.panels

up: build ## Start the stack, leave it running, print its endpoints
	@$(RUN) -m examples.stack up

down: setup ## Stop what `make up` started
	@$(RUN) -m examples.stack down

# --- checks -----------------------------------------------------------------------------------------------------------

test: check build test-collector $(OLDEST)/.installed ## Check everything: style, types, every test on real parts, oldest and newest versions
	@echo "== the newest supported versions and, at the same time, the oldest, whose result comes as a whole"
	@$(MAKE) --no-print-directory -j2 test-newest test-oldest-aside

test-newest: setup build ## Every test with the newest supported versions
	OTEL_DYNABASE_STACK_PORTS=26000-32000 $(RUN) -m pytest

test-oldest-aside: $(OLDEST)/.installed
	@$(TEST_OLDEST) > $(OLDEST)/tests.log 2>&1; status=$$?; cat $(OLDEST)/tests.log; exit $$status

check: setup ## Style, types, and that derived files are fresh
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy
	$(RUN) -m mypy --explicit-package-bases -p tests.conformance
	$(RUN) -m otel_dynabase.render --check

format: setup ## Put the code into its style
	$(RUN) -m ruff check --fix
	$(RUN) -m ruff format

test-oldest: $(OLDEST)/.installed ## The tests of the package with the oldest supported versions
	$(TEST_OLDEST)

test-collector: setup ## The collector's processor: go vet, and its tests with the race detector where there is a C compiler
	@test -n "$(RACE)" || echo "no C compiler here: the processor is tested without the race detector" >&2
	$(GO) vet -C $(PROCESSOR) ./...
	$(GO) vet -C $(PROCESSOR)/benchmark ./...
	$(GO) test -C $(PROCESSOR) $(RACE) ./...

docs: setup ## Build the documents as a site into docs/_build; a warning is an error
	@$(RUN) -m sphinx -q -W --keep-going -b dirhtml docs docs/_build
	@echo "docs/_build is there: $(RUN) -m http.server -b 127.0.0.1 -d docs/_build"

screenshots: setup ## The documents' pictures of the timeline page, made anew in a real browser
	OTEL_DYNABASE_SCREENSHOTS=docs/images $(RUN) -m pytest -q tests/integration/test_stack_timeline_page.py

mutate-rules: build ## Change each number, selector and text of the rules, one at a time: some test must fail (about 10 minutes)
	@$(RUN) -m tests.rules.mutation

conformance: setup $(OLDEST)/.installed ## asyncpg's and SQLAlchemy's own tests, with and without us: the same results
	@$(RUN) -m tests.conformance.asyncpg_suite
	@$(RUN) -m tests.conformance.sqlalchemy_suite
	@$(OLDEST)/bin/python -m tests.conformance.sqlalchemy_suite

conformance-grafana: setup ## Grafana's own types and transformations on the dashboards (needs node and npm)
	@$(RUN) -m tests.conformance.grafana_suite

bench-overhead: setup ## What we add to a pooled query, beside what the official instrumentation adds
	@$(RUN) -m benchmarks.overhead

bench-soak: setup ## 100,000 tenants through one process: memory levels off
	@$(RUN) -m benchmarks.soak

bench-observe: setup ## The observer over 2,000 projects, some of whose databases are slow or dead
	@$(RUN) -m benchmarks.observe

bench-processor: setup ## The collector's processor beside contrib's that aggregate labels (about 5 minutes)
	@$(RUN) -m benchmarks.processor

bench-ledger: build ## Everybody on an event's way is killed and paused, under load: none is lost (about 16 minutes)
	@$(RUN) -m benchmarks.ledger

bench-cardinality: build ## 10,000 tenants come and go among the named: series are bounded, sums exact (about 13 minutes)
	@$(RUN) -m benchmarks.cardinality

bench-capacity: build ## What a tenant costs at each hop: series, memory, CPU (about 4 minutes)
	@$(RUN) -m benchmarks.capacity

bench-events: build ## A project's timeline out of 10 million events: our table beside the exporter's own (about 8 minutes)
	@$(RUN) -m benchmarks.events

bench-noise: setup ## An ordinary day of 2,000 tenants with six incidents: who is told what (about 15 minutes)
	@$(RUN) -m benchmarks.noise

bench-detection: build ## Seconds from an outage, slow statements, a cold start or silence to PagerDuty and Slack (about 35 minutes)
	@$(RUN) -m benchmarks.detection
