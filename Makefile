# `make` alone lists the verbs. Variables:
#   TORCH_INDEX  where pip finds torch; on a machine without a GPU, give the CPU wheels:
#                make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
#   DATA, RUN, MINUTES  datasets, run folder and length of `make train`
PYTHON ?= python3
TORCH_INDEX ?=
DATA ?= ../shared/data/2d
RUN ?= runs/kprism-compact
MINUTES ?= 240

BIN := .venv/bin
TORCH := torch==2.13.0
# Threads that wait by spinning make two test processes on two cores many times slower.
CALM := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint docs slow soak speed train client

help:
	@sed -n 's/^\([a-z]*\):.*## /\1 /p' Makefile | awk '{ verb = $$1; $$1 = ""; printf "make %-8s%s\n", verb, $$0 }'

setup: .venv/installed ## install the package into .venv, with what demo and training need

demo: .venv/installed ## segment real medical images; pictures, masks and a table go to demo/
	$(BIN)/python -m medprism.apps.demo --out demo

test: lint ## everything that must hold before a change is merged
	$(CALM) $(BIN)/python -m pytest -q -n 2 -m "not slow and not soak and not gpu"

lint: .venv/installed-for-tests ## style, formatting, the direction of imports and static types
	$(BIN)/ruff check src tests benchmarks locks
	$(BIN)/ruff format --check --quiet src tests benchmarks locks
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

docs: .venv/installed-for-docs ## the documentation site, in build/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

slow: .venv/installed-for-tests .venv/installed-for-docs .venv/installed-for-clusters ## long tests: learning, full fuzzing counts
	$(CALM) $(BIN)/python -m pytest -q -m slow

soak: .venv/installed-for-tests ## kill and load tests with full counts
	$(CALM) $(BIN)/python -m pytest -q -m soak

speed: .venv/installed ## milliseconds of the model and of clicks in the browser; what the slice store and Iris cost
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python -m benchmarks.performance
	$(BIN)/python benchmarks/store.py
	$(BIN)/python benchmarks/iris.py
	$(BIN)/python -m benchmarks.clicks

train: .venv/installed ## train kprism-compact on DATA for MINUTES; go on if RUN is there
	$(BIN)/medprism train kprism-compact --out $(RUN) \
	  $(if $(wildcard $(RUN)/run.json),--resume,--data $(DATA) --minutes $(MINUTES))

client: client/node_modules ## check and bundle the workbench's page from client/ (needs node 20)
	cd client && npm run --silent types && npm test --silent && npm run --silent build

client/node_modules: client/package-lock.json
	cd client && npm ci --silent
	touch $@

.venv/python:
	$(PYTHON) -m venv .venv
	touch $@

.venv/installed: .venv/python pyproject.toml
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(BIN)/python -m pip install --quiet --editable '.[demo,train]'
	touch $@

.venv/installed-for-docs: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

# Large, and not there for every Python: its tests are then skipped.
.venv/installed-for-clusters: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[ray]' || echo "no Ray: archives on a cluster are not tested"
	touch $@

# Of monailabel the client alone is needed; its dependencies would bring torchvision and old packages.
.venv/installed-for-tests: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	$(BIN)/python -m pip install --quiet --no-deps monailabel==0.8.5 || echo "no monailabel: its client is not tested"
	touch $@
