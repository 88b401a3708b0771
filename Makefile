# Two commands set everything up on a fresh machine: `make demo` and `make test`. Another Python than python3:
# `make PYTHON=python3.12 demo`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test stress lint types wheel clean

demo: $(VENV)/installed
	$(BIN)/ensemble-uq demo

test: $(VENV)/dev-installed
	$(BIN)/pytest -n auto

# The tests of faults in their long form: hours, not minutes; docs/reliability.md has the figures.
stress: $(VENV)/dev-installed
	$(BIN)/pytest -n auto --stress tests/faults

lint: $(VENV)/dev-installed
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .

types: $(VENV)/dev-installed
	$(BIN)/mypy

wheel: $(VENV)/dev-installed
	$(BIN)/python tools/check_wheel.py

clean:
	rm -rf $(VENV) runs dist

$(VENV)/installed: requirements.txt pyproject.toml
	@version=$$($(PYTHON) -c 'import sys; print("Python %d.%d" % sys.version_info[:2]); sys.exit(sys.version_info < (3, 11))') \
	  || { echo "error: $(PYTHON) is $${version:-not to be had}, and Python 3.11 or newer is needed;" \
	       "name another, such as: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

$(VENV)/dev-installed: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@
