# Everything a person does with this repository. `make help` lists it.
#
# `make demo` and `make test` prepare what they need: a virtual environment in $(VENV), and, when run as
# root on Debian or Ubuntu, the missing system packages and file systems (scripts/setup.sh).

SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
BENCH_ARGS ?=
FUZZ ?= 20000
SOURCES := $(shell find src -name '*.py') pyproject.toml
SETUP := VENV=$(VENV) scripts/setup.sh

.DEFAULT_GOAL := help
.PHONY: help demo test check format fuzz bench develop wheel clean vmlab vmlab-all system-test system-trace

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed system-trace ## ask three questions of a small workload of its own
	@$(BIN)/python scripts/demo.py

test: $(VENV)/.installed-dev system-test ## install what the tests need, then run them all
	@$(BIN)/python -m pytest tests $(PYTEST_ARGS)
	@VENV=$(VENV) scripts/vmlab/test.sh --if-possible smoke

vmlab: $(VENV)/.installed-dev ## run the kernel lab's tests and some others on Debian's 6.12 kernel, in QEMU
	@VENV=$(VENV) scripts/vmlab/test.sh smoke $(PYTEST_ARGS)

vmlab-all: $(VENV)/.installed-dev ## run all kernel tests there
	@VENV=$(VENV) scripts/vmlab/test.sh all $(PYTEST_ARGS)

check: $(VENV)/.installed-dev ## style, types, layers, architecture
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/arch

format: $(VENV)/.installed-dev ## let ruff mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

fuzz: $(VENV)/.installed-dev system-test ## the engines and the verifier on 20,000 random programs each (FUZZ=number for more)
	@CYGNET_FUZZ=$(FUZZ) $(BIN)/python -m pytest tests/prop/test_vm.py tests/prop/test_vm_fuzz.py \
		tests/prop/test_verifier_sound.py $(PYTEST_ARGS)

bench: $(VENV)/.installed-dev system-test ## measure against bpftrace and C (BENCH_ARGS=--quick is shorter)
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

develop: ## install in place: edits to src/ count at once
	@$(SETUP) develop

wheel: $(VENV)/.installed-dev ## build dist/*.whl
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove what the targets above made
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.installed: $(SOURCES) scripts/setup.sh
	@$(SETUP) install

$(VENV)/.installed-dev: $(SOURCES) scripts/setup.sh
	@$(SETUP) install-dev

system-trace:
	@$(SETUP) system-trace

system-test:
	@$(SETUP) system-test
