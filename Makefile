# Needs Python 3.8 or newer and make, nothing else: each target sets up the virtual environment it runs in.
#
#   make test PYTHON=python3.12            another interpreter
#   make test ARGS="tests/test_codec.py"   arguments for pytest; the coverage gate is for whole runs
#   make demo ARGS="--duration 10"         arguments for the demo

PYTHON ?= python3
ARGS ?=

venv_python = .venv/bin/python
# Bounded: a worker for each core of a large machine would cost more to start than it saves.
pytest_options = -n auto --maxprocesses 4

.PHONY: help demo test scorecard soak bench profile chart lint types coverage test-all clean python venv-demo \
    venv-dev venv-bench

help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: venv-demo ## watch quotes, orders and positions arrive from an embedded simulator
	@$(venv_python) -m onetrade_ws demo $(ARGS)

test: lint types ## lint, types, every test in random order, branch coverage of 95 %; then the scorecard, in small
	$(venv_python) -m pytest $(pytest_options) --cov --cov-report=term $(if $(strip $(ARGS)),--cov-fail-under=0) $(ARGS)
	$(if $(strip $(ARGS)),,$(venv_python) -m tests.scorecard)

scorecard: venv-dev ## the scorecard alone, in small; ARGS="--row 7" for one row
	$(venv_python) -m tests.scorecard $(ARGS)

soak: venv-dev ## the scorecard with its full figures, and a thousand losses of a busy account; takes an hour
	$(venv_python) -m tests.scorecard --full $(ARGS)
	$(if $(strip $(ARGS)),,ONETRADE_TEST_CUTS=1000 $(venv_python) -m pytest $(pytest_options) -k cuts tests/client/test_resync.py)

bench: venv-bench ## the library beside other clients, in ten minutes; ARGS="--row throughput" for one measurement
	@$(venv_python) -m tests.benchmarks $(ARGS)

profile: venv-bench ## where the time goes while quotes and positions come as fast as they can
	@$(venv_python) -m tests.benchmarks.profiling $(ARGS)

chart: venv-bench ## the README's table and chart, from what "make bench" measured last
	@$(venv_python) -m tests.benchmarks.chart $(ARGS)
	@$(venv_python) -m tests.benchmarks.readme $(ARGS)

lint: venv-dev ## check the style and the format
	$(venv_python) -m ruff check .
	$(venv_python) -m ruff format --check .

types: venv-dev ## check the types, strictly
	$(venv_python) -m mypy

coverage: venv-dev ## the tests, with what they miss: on the terminal and in .htmlcov/index.html
	$(venv_python) -m pytest $(pytest_options) --cov --cov-report=term-missing --cov-report=html --cov-fail-under=0 $(ARGS)

test-all: python ## the tests on each supported Python found, the oldest with the oldest dependencies
	@$(PYTHON) .ci/matrix.py $(pytest_options) $(ARGS)

clean: ## remove everything the targets made
	rm -rf .venv .venv-all .venv-autobahn .mypy_cache .ruff_cache .pytest_cache .hypothesis .htmlcov .bench build dist *.egg-info
	rm -f .coverage .coverage.*
	find .ci onetrade_ws tests -name __pycache__ -type d -prune -exec rm -rf {} +

venv-demo: python
	@$(PYTHON) .ci/environment.py .venv cli

venv-bench: python
	@$(PYTHON) .ci/environment.py .venv speed bench

venv-dev: python
	@$(PYTHON) .ci/environment.py .venv cli pandas proxy speed test lint

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 8))' || { \
	    echo 'Python 3.8 or newer is needed, and "$(PYTHON)" is not it. Choose one: make PYTHON=/path/to/python3' >&2; \
	    exit 1; }
