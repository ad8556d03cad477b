PYTHON ?= python3
BIN := .venv/bin
# The lock pins exact versions; extras say which of them to install.
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable

.PHONY: demo test fast lint lock benchmark

demo: .venv/demo ## Train LeNet-5 on the embedded digits and say where the figures are.
	$(BIN)/jdl train lenet5_mnist

test: .venv/dev ## Install what the tests need and run them all, on all cores.
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder --max-worker-restart 0

fast: .venv/dev ## Only the tests that take seconds.
	$(BIN)/pytest -x -m "not slow"

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: .venv/dev ## Pin today's versions of everything.
	$(BIN)/pip freeze --exclude-editable --exclude torch | grep -v "^\(uv\|pip\|setuptools\|wheel\)==" > requirements.lock

benchmark: .venv/dev
	$(BIN)/python benchmarks/engine.py

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("jdl needs Python 3.11 or newer; make PYTHON=… names one" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

.venv/demo: .venv/bin/python pyproject.toml requirements.lock
	@echo "installing jdl into .venv, which takes a minute or two …"
	$(INSTALL) '.[data]'
	@touch $@

.venv/dev: .venv/bin/python pyproject.toml requirements.lock
	@echo "installing jdl and its tests' tools into .venv, which takes a minute or two …"
	$(INSTALL) '.[dev]'
	@touch $@
