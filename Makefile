# `make` lists the targets. Whatever a target needs is installed into .venv by itself.

PYTHON ?= python3
BIN := .venv/bin
LOWEST := .venv-lowest/bin
# One worker per core; the tests of a file stay together, as they share what is dear to make.
# A worker whose test hung would only begin it again.
PYTEST_FLAGS ?= --numprocesses auto --dist loadfile --max-worker-restart 0
# Which files `make test-lowest` runs; empty for all.
TESTS ?=
# How long `make soak` attacks, and which attacks with which seed; empty for all and a new seed.
MINUTES ?= 10
ATTACK_FLAGS ?=
# What `make bench`, `make bench-peers` and `make bench-plot` do other than all at full length.
BENCH_FLAGS ?=
# Which runs of the daemon and how long; empty for all of them in full length.
SOAK_FLAGS ?=
PEERS := agent-strace arcaeon clawmetry eventsourcing flowcept verityledger
PIP_FLAGS := --quiet --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check lint types docs faults bench bench-peers bench-plot soak soak-daemon test-lowest system-packages clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' Makefile

demo: .venv/installed ## Record a small agent, project it, query it, delete the database, rebuild it
	@$(BIN)/python tools/demo.py

test: .venv/installed ## Run the tests
	@$(BIN)/python -m pytest $(PYTEST_FLAGS)

check: lint types test ## Lint, check types and architecture, run the tests: what .ci/run does

lint: .venv/installed ## Check style, and the rules that tests/test_architecture.py states
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m pytest -q tests/test_architecture.py

types: .venv/installed ## Check types with mypy --strict
	@$(BIN)/mypy

docs: .venv/installed ## Write docs/commands.md, and the table of tests in docs/guarantees.md
	@$(BIN)/python tools/command_reference.py > docs/commands.md
	@$(BIN)/python tools/guarantees_table.py

faults: .venv/fuzz-installed ## Run the exhaustive and fault tests, which take minutes
	@$(BIN)/python -m pytest $(PYTEST_FLAGS) tests/faults

bench: .venv/installed ## Print a table of speed ratios; BENCH_FLAGS="hook --repeat 9"
	@$(BIN)/python tools/bench.py $(BENCH_FLAGS)

bench-peers: .venv/installed .venv-peers/installed ## Time other recorders beside ours
	@$(BIN)/python tools/bench_peers.py $(BENCH_FLAGS)

bench-plot: .venv/installed .venv-peers/installed ## Draw docs/performance.png
	@$(BIN)/python tools/bench_plot.py docs/performance.png $(BENCH_FLAGS)

soak: .venv/fuzz-installed ## Attack the promises for MINUTES (default 10), each run with another seed
	@$(BIN)/python tools/attack.py --minutes $(MINUTES) $(ATTACK_FLAGS)

soak-daemon: .venv/installed ## Run the daemon under load and faults; SOAK_FLAGS="load --seconds 10"
	@$(BIN)/python tools/soak.py $(SOAK_FLAGS)

test-lowest: .venv-lowest/installed ## Run the tests with the lowest supported versions
	@$(LOWEST)/python -m pytest $(PYTEST_FLAGS) $(TESTS)

system-packages: ## Install jq and strace, which some tests run (apt-get, as root or by sudo)
	@echo "installing jq and strace with apt-get"
	@as_root=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	$$as_root apt-get -qq update && $$as_root apt-get -qq install -y jq strace >/dev/null

clean: ## Remove the environments and everything that make and the tools made
	rm -rf .venv .venv-lowest .venv-peers .bench .demo .soak build *.egg-info
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Say what is missing before venv or pip fail in their own words.
define require_python
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: $(PYTHON) is not Python 3.11 or later; run: make PYTHON=/path/to/python3" >&2; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
		echo "error: $(PYTHON) can't make environments; on Debian: apt-get install python3-venv" >&2; \
		exit 1; }
endef

.venv/installed: pyproject.toml constraints.txt
	$(require_python)
	@echo "installing the project and its tools into .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[dev]'
	@touch $@

# Made for few systems and versions of Python, so that nothing else may depend on it.
.venv/fuzz-installed: .venv/installed
	@$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[fuzz]' || \
		echo "atheris can't be installed here: what fuzzes is skipped"
	@touch $@

# Each alone, as one that can't be installed becomes a row that says so. CI is set while they are
# installed and run, as it keeps those quiet that count their installations.
.venv-peers/installed: constraints-peers.txt
	$(require_python)
	@echo "installing the peers and matplotlib into .venv-peers"
	@$(PYTHON) -m venv .venv-peers
	@for peer in matplotlib $(PEERS); do \
		CI=1 .venv-peers/bin/python -m pip install $(PIP_FLAGS) -c constraints-peers.txt $$peer || \
		echo "$$peer can't be installed"; \
	done
	@touch $@

# The tools stay at their newest versions; constraints-lowest.txt overrides what we depend on.
.venv-lowest/installed: pyproject.toml constraints.txt constraints-lowest.txt
	$(require_python)
	@echo "installing the lowest supported versions into .venv-lowest"
	@$(PYTHON) -m venv .venv-lowest
	@awk -F '==' '!/^#/ && !(tolower($$1) in pinned) { pinned[tolower($$1)]; print }' \
		constraints-lowest.txt constraints.txt > .venv-lowest/constraints.txt
	@$(LOWEST)/python -m pip install $(PIP_FLAGS) -c .venv-lowest/constraints.txt -e '.[dev]'
	@touch $@
