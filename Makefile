# Everything runs in .venv, made here from hash-locked requirements. Needs Python 3.11 or newer, git and make.
PYTHON ?= python3
PIP := .venv/bin/python -m pip --disable-pip-version-check --quiet
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help repro test test-slow fuzz bench lint lock audit licences clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "make %-10s %s\n", $$1, $$2}'

repro: .venv/.run ## set up everything and run the pipeline on the built-in dataset
	dvc repro
	@dvc metrics show
	@echo
	@echo "Look at   reports/index.html              scores, curves, captions and attention on one page"
	@echo "          reports/figures/                the same figures as files"
	@echo "Compare   source .venv/bin/activate && mlflow ui, then open"
	@printf '          ' && python -m captioner.tracking.experiment_view
	@echo "Try       captioner caption IMAGE --figure"

# Most of a test's time goes into starting single-threaded programs, so two run at a time. Each test file stays in one
# process, which shares the file's fixtures.
PYTEST := pytest -q -n 2 --dist loadfile
test: .venv/.dev ## set up everything and run the tests
	$(PYTEST) -m "not slow"

test-slow: .venv/.dev ## run the tests that take minutes
	$(PYTEST) -m slow

MINUTES ?= 10
fuzz: .venv/.dev ## feed randomly damaged input of every kind, for MINUTES=10
	@end=$$(( $$(date +%s) + 60 * $(MINUTES) )); while [ $$(date +%s) -lt $$end ]; do \
		pytest -q tests/inputs/test_fuzz.py --hypothesis-profile=fuzz || exit 1; done

bench: .venv/.dev ## measure speed against a published notebook and the machine's limits (about ten minutes)
	PYTHONPATH=src python benchmarks/bench.py

lint: .venv/.dev ## check format, lint, types, and which package imports which
	ruff format --check .
	ruff check .
	mypy
	lint-imports

lock: ## resolve the locked requirements again (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" pyproject.toml -o requirements/run.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" --extra dev -c requirements/run.txt pyproject.toml -o requirements/dev.txt

audit: .venv/.dev ## look up known vulnerabilities of the locked requirements (needs the internet)
	pip-audit --strict --disable-pip --progress-spinner off -r requirements/run.txt

licences: .venv/.run ## list the licences of all installed packages in reports/licences.md (needs uv)
	(echo "# Licences of the installed packages"; echo; \
	uvx --quiet pip-licenses --python .venv/bin/python --from=mixed --format=markdown \
		--packages $$(sed -nE 's/^([a-zA-Z0-9._-]+)==.*/\1/p' requirements/run.txt) | grep -v '^|  ') > reports/licences.md

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
