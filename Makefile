# `make demo` and `make test` set everything up themselves; `make help` lists the rest.
PYTHON ?= python3
ENV ?= newest
VENV := $(if $(filter newest,$(ENV)),.venv,.venv-$(ENV))
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV := .tools/bin/uv
# With the repository root on sys.path our agents/ would hide other packages of that name.
export PYTHONSAFEPATH := 1
# Some images forbid bytecode caches; without them each start compiles every library anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install demo eval test slow check matrix format lint imports types wheel lock schemas clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "%-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(UV):
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target .tools 'uv>=0.9'

$(READY): .ci/locks/$(ENV).txt pyproject.toml | $(UV)
	test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) $(VENV)
	$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes .ci/locks/$(ENV).txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

install: $(READY)  ## create the environment (ENV=newest, instructor or lowest)

demo: install  ## evaluate every agent on its embedded baseline
	$(BIN)/assay eval

eval: install  ## evaluate every agent, and compare with the accepted scorecards
	$(BIN)/pytest -n auto -p no:inline_snapshot -m eval --assay-gate tests/test_evals.py

test: install  ## the default tests, on every core (TESTS=: only these files)
	$(BIN)/pytest -n auto --dist worksteal -p no:inline_snapshot $(TESTS)

slow: install  ## the tests with processes, browsers, servers and every provider protocol
	$(BIN)/pytest -n auto --dist worksteal -p no:inline_snapshot -m slow -o faulthandler_timeout=120

matrix: install  ## every provider protocol against everything a provider does
	$(BIN)/python benchmarks/matrix.py

format: install  ## write the format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: install  ## format and lint checks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

imports: install  ## deps <- tools <- agents <- evals
	$(BIN)/lint-imports

types: install  ## pyright strict and mypy strict
	$(BIN)/pyright --project pyproject.toml
	$(BIN)/mypy

check: lint imports types test slow wheel  ## everything CI asks of the default environment

wheel: install  ## build the wheel and test it in an empty environment
	.ci/wheel $(UV)

lock: | $(UV)  ## write the locks anew
	UV=$(UV) .ci/lock

schemas: install  ## write the JSON schemas of the datasets anew
	$(BIN)/python .ci/schemas

clean:  ## remove every environment and build product
	rm -rf .venv .venv-* .tools build dist *.egg-info .ruff_cache .mypy_cache .pytest_cache
