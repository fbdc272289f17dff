# Every target makes the virtual environment it needs, and reuses it while pyproject.toml and constraints.txt are unchanged.
# PyTorch comes first: where a CPU build is wanted, install that one into $(VENV) beforehand (see docs/install.md).

PYTHON ?= python3
VENV ?= .venv
DEMO ?= demo
WORKERS ?= 2
GRAPHS ?= 5000

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
EXAMPLES := $(wildcard examples/*.py)

.DEFAULT_GOAL := help
.PHONY: help demo test full properties format lint docs examples clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */\1|/' | awk -F'|' '{printf "%-12s %s\n", $$1, $$2}'

$(VENV)/.torch: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) "$$(grep '^torch==' constraints.txt)"
	touch $@

$(VENV)/.package: $(VENV)/.torch
	$(PIP) --editable .
	touch $@

$(VENV)/.test: $(VENV)/.package
	$(PIP) --editable '.[test]'
	touch $@

$(VENV)/.lint: $(VENV)/.package
	$(PIP) --editable '.[test,lint]'
	touch $@

$(VENV)/.docs: $(VENV)/.package
	$(PIP) --editable '.[docs]'
	touch $@

demo: $(VENV)/.package  ## simulate a scene, map its water, say where the map and the picture are
	@echo "No imagery is needed: the scene is simulated by the project itself."
	$(BIN)/python examples/simulate_scene.py $(DEMO)/scene.tif --size 2048x2048
	$(BIN)/narrows water $(DEMO)/scene.tif -o $(DEMO)/water.tif --quicklook $(DEMO)/water.png --memory 1GB --overwrite
	@echo "The map is in $(DEMO)/water.tif, a picture of it in $(DEMO)/water.png."

test: $(VENV)/.test  ## run every test (WORKERS processes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not full" --numprocesses $(WORKERS) $(PYTEST_ARGS)

full: $(VENV)/.test  ## run what is too long for every change: TensorFlow, thousands of graphs
	VENV=$(VENV) bash .ci/full

properties: $(VENV)/.test  ## check the laws on GRAPHS generated graphs
	OMP_NUM_THREADS=1 NARROWS_GRAPHS=$(GRAPHS) $(BIN)/python -m pytest --numprocesses $(WORKERS) tests/properties

format: $(VENV)/.lint  ## format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

lint: $(VENV)/.lint  ## check formatting, lint, types and the rooms' imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.docs  ## build the documentation into site/, warnings being errors
	$(BIN)/mkdocs build --strict

examples: $(VENV)/.package  ## run the examples
	@set -e; for example in $(EXAMPLES); do echo "== $$example"; OMP_NUM_THREADS=1 $(BIN)/python $$example; done

clean:  ## remove the virtual environment and what was built
	rm -rf $(VENV) site build dist $(DEMO)
