# Everything runs in .venv, made here from hash-locked requirements. Needs Python 3.11 or newer, git and make.
PYTHON ?= python3
PIP := .venv/bin/python -m pip --disable-pip-version-check --quiet
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help repro test test-slow fuzz bench lint params lock audit licences clean

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "make %-10s %s\n", $$1, $$2}'

repro: .venv/.run ## set up everything and run the pipeline on the built-in dataset
	dvc repro
	@dvc metrics show
	@echo
	@echo "Look at   reports/index.html              scores, curves, captions and attention on one page"
	@echo "          reports/figures/                the same figures as files"
	@echo "Compare   source .venv/bin/activate && mlflow ui"
	@echo "Try       captioner caption PHOTO --figure"

# Most of a test's time goes into one-threaded starts of programs. What a file sets up is set up once.
PYTEST := pytest -q -n 2 --dist loadfile
test: .venv/.dev ## set up everything and pass the tests
	$(PYTEST) -m "not slow"

test-slow: .venv/.dev ## the tests that take minutes
	$(PYTEST) -m slow

MINUTES ?= 10
fuzz: .venv/.dev ## damage input of every kind at random, for MINUTES=10
	@end=$$(( $$(date +%s) + 60 * $(MINUTES) )); while [ $$(date +%s) -lt $$end ]; do \
		pytest -q tests/inputs/test_fuzz.py --hypothesis-profile=fuzz || exit 1; done

bench: .venv/.dev ## measure how fast everything is, beside the recipe and the machine's limits (about ten minutes)
	PYTHONPATH=src python benchmarks/bench.py

lint: .venv/.dev ## format check, lint, types, and who imports whom
	ruff format --check .
	ruff check .
	mypy
	lint-imports

params: .venv/.run ## write params.yaml as the composition of conf/
	PYTHONPATH=src python -m captioner.compose

lock: ## resolve the requirements again (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" pyproject.toml -o requirements/run.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" --extra dev -c requirements/run.txt pyproject.toml -o requirements/dev.txt

audit: .venv/.dev ## look the locked requirements up among known vulnerabilities (needs the internet)
	pip-audit --strict --disable-pip --progress-spinner off -r requirements/run.txt

licences: .venv/.run ## write the licences of all that gets installed into docs/licences.md (needs uv)
	(echo "# Licences of what gets installed"; echo; \
	uvx --quiet pip-licenses --python .venv/bin/python --from=mixed --format=markdown \
		--packages $$(sed -nE 's/^([a-zA-Z0-9._-]+)==.*/\1/p' requirements/run.txt) | grep -v '^|  ') > docs/licences.md

clean: ## remove .venv (data, models and runs stay)
	rm -rf .venv

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv

.venv/.run: requirements/run.txt pyproject.toml | .venv/bin/python
	@echo "installing the locked requirements into .venv (a few minutes the first time)"
	$(PIP) install --require-hashes -r requirements/run.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: requirements/dev.txt pyproject.toml | .venv/bin/python
	@echo "installing the locked requirements into .venv (a few minutes the first time)"
	$(PIP) install --require-hashes -r requirements/dev.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
