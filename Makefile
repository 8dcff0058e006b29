# `make study` runs the main study, `make site` makes a page of all results, `make test` runs the tests; each sets up
# .venv by itself.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: study site test lint clean

study: .venv/installed
	$(BIN)/python cli.py study gan-entanglement

site: .venv/installed
	$(BIN)/python cli.py runs site site

test: .venv/installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv

# torch and torchvision in one command, so that the two match.
.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet torch torchvision
	$(BIN)/python -m pip install --quiet -e .
	touch $@

.venv/installed-dev: pyproject.toml .venv/installed
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	touch $@

clean:
	rm -rf .venv
