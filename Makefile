# `make run` and `make test` each stand alone: they install what they need, once.
PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check

.PHONY: run test retry thorough soak test-gpu mutants audit lint types clean help

help: ## Say what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

run: $(VENV)/.runs ## Install once, then start the bot with its web chat
	@$(VENV)/bin/python -m bot run

test: $(VENV)/.tests ## Install once, then run the tests
	$(VENV)/bin/python -m pytest -q -n 3 --dist loadfile $(ARGS)

retry: $(VENV)/.tests ## Run those tests again, one after the other, that failed last
	$(VENV)/bin/python -m pytest -q --last-failed --last-failed-no-failures none $(ARGS)

thorough: $(VENV)/.tests ## Run the tests with all examples of each property
	THOROUGH=1 $(VENV)/bin/python -m pytest -q -n 3 --dist loadfile $(ARGS)

soak: $(VENV)/.tests ## Run the tests that take minutes of load
	$(VENV)/bin/python -m pytest -q -m soak $(ARGS)

test-gpu: $(VENV)/.tests ## Run the tests that need a CUDA device
	$(VENV)/bin/python -m pytest -q -m gpu $(ARGS)

mutants: $(VENV)/.mutants ## Break the core at random, and see which faults the tests find
	$(VENV)/bin/python -m benchmarks.mutants $(ARGS)

lint: $(VENV)/.tests ## Check style with ruff
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/.tests ## Check types with mypy
	$(VENV)/bin/mypy

audit: $(VENV)/.audits ## Look for known vulnerabilities, and list all packages in build/
	$(VENV)/bin/python deploy/audit.py $(ARGS)

clean: ## Delete what was installed, not what was drawn
	rm -rf $(VENV)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

# What is listed last is what pip is told to install: the dependencies alone, since the
# project is run from its checkout and never installed itself.
$(VENV)/.runs: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing what the bot needs into $(VENV): once, a few minutes ..."
	@$(PIP) install --constraint constraints.txt --progress-bar on '.[discord,slack]'
	@$(PIP) uninstall --quiet --yes fluxbot
	@touch $@

$(VENV)/.tests: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing what the tests need into $(VENV): once, a few minutes ..."
	@$(PIP) install --constraint constraints.txt --progress-bar on '.[discord,slack,dev]'
	@$(PIP) uninstall --quiet --yes fluxbot
	@touch $@

$(VENV)/.audits: pyproject.toml constraints.txt | $(VENV)/.runs
	@$(PIP) install --constraint constraints.txt --progress-bar on '.[audit]'
	@$(PIP) uninstall --quiet --yes fluxbot
	@touch $@

$(VENV)/.mutants: pyproject.toml constraints.txt | $(VENV)/.tests
	@$(PIP) install --constraint constraints.txt --progress-bar on '.[mutants]'
	@$(PIP) uninstall --quiet --yes fluxbot
	@touch $@
