# Two commands matter: `make demo` and `make test`. Both set up .venv from the lock first.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo $$p; break; }; done)
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
UV_PIN  = $(shell sed -n 's/^\(uv==[0-9.]*\).*/\1/p' requirements.txt)

export PYTHONUTF8 := 1

.PHONY: help setup demo test lint coverage torture lock clean

help:      ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## make .venv from requirements.txt

$(READY): requirements.txt
	@test -n "$(PYTHON)" || { echo "make: expected Python 3.11, 3.12 or 3.13 on PATH, found none; install one or pass PYTHON=/path/to/python"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV_PIN)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.txt
	@touch $@

demo: $(READY)  ## run the whole loop of the synthetic system, end to end
	$(BIN)/python run.py demo

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint  ## lint, types and every test but the slow ones
	$(BIN)/pytest -m "not torture" -n auto --dist loadfile --no-loadscope-reorder

coverage: $(READY)  ## which lines the tests of `make test` run; takes a quarter longer than they do
	$(BIN)/pytest -m "not torture" -n auto --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered

torture: $(READY)  ## the slow tests: kills, races, full disks
	$(BIN)/pytest -m torture -n 2 --dist loadfile --no-loadscope-reorder --durations=15

lock: $(READY)  ## resolve requirements/*.in again
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header requirements/all.in -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -c requirements.txt requirements/serve.in -o requirements/serve.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -c requirements.txt requirements/edge.in -o requirements/edge.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -c requirements.txt requirements/edge-forecast.in -o requirements/edge-forecast.txt

clean:     ## remove what runs left behind (.venv stays)
	rm -rf .perennial .coverage .mypy_cache .pytest_cache .ruff_cache
