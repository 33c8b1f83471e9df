# resnet_lit: `make help` lists every task.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
RUN := $(VENV)/bin/python
CORE := $(VENV)/.core
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo train test quick lint check format bench tensorboard wheel bundle gpu-kit clean

help:  ## list the tasks
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */|/' | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

$(CORE): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make demo PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) install.py digits
	@touch $(CORE)

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make setup PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) install.py dev
	@touch $(CORE) $(READY)

setup: $(READY)  ## make .venv with everything that the tests need

demo: $(CORE)  ## install what training needs, then train Model 4 on handwritten digits for four epochs
	@$(RUN) -m resnet_lit.train +experiment=digits
	@$(RUN) -m resnet_lit next

train: $(CORE)  ## the main job: Model 4 on CIFAR-10, 200 epochs (ARGS="seed=1 …" adds to it)
	$(RUN) -m resnet_lit.train +experiment=model4 $(ARGS)

test: $(READY)  ## the whole test suite, as many tests at a time as there are cores
	$(RUN) -m pytest -n auto --dist worksteal

quick: $(READY)  ## the quick part of the tests
	$(RUN) -m pytest -n auto --dist worksteal -m 'not slow'

lint: $(READY)  ## format, lint and types
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy

check: lint quick  ## lint and the quick tests, in under two minutes

format: $(READY)  ## format the code
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

bench: $(READY)  ## timings, each a ratio against a named alternative
	@for file in benchmarks/bench_*.py; do $(RUN) -m benchmarks.$$(basename $$file .py) || exit 1; done

tensorboard: $(CORE)  ## open TensorBoard on outputs/
	$(RUN) -m resnet_lit.board outputs

wheel: $(READY)  ## build the wheel into dist/
	$(RUN) -m build --wheel --no-isolation

bundle: $(READY)  ## package, conf and what a machine without network lacks, in one dist/resnet_lit-….tar.gz
	$(RUN) bundle/make.py

gpu-kit: $(READY)  ## the bundle and CIFAR-10 in loads of at most MIB=52, in dist/gpu-kit/ (DATA=cifar-10-python.tar.gz)
	$(RUN) bundle/make_gpu_kit.py $(if $(DATA),--data="$(DATA)") $(if $(MIB),--mib=$(MIB))

clean:  ## remove what was built; outputs/ is never touched
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find resnet_lit tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
