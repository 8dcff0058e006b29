# `make study` runs the main study, `make test` the tests; both set up .venv by themselves.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: study test lint clean

study: .venv/installed
	$(BIN)/python cli.py study gan-entanglement

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
