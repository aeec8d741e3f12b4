# Everything runs in .venv. PYTHON: the interpreter that makes it. TORCH: what to install as torch.
PYTHON ?= python3
VENV   ?= .venv
TORCH  ?= torch==2.13.0
BIN    := $(VENV)/bin
RUN    := $(BIN)/sbert-triplet

.PHONY: quickstart install install-test test test-all check bench clean
.DEFAULT_GOAL := help

help:
	@echo "make quickstart  install, tune a model on this machine's docstrings, compare it with the base model"
	@echo "make test        the core suite;  make test-all  with browser and long runs"
	@echo "make check       lint and types;  make bench     the benchmarks in eval/"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The CPU build of torch goes first: with no torch present a plain requirement brings gigabytes of CUDA.
$(VENV)/.torch: $(BIN)/python
	@$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test,check]"
	@touch $@

install: $(VENV)/.installed

install-test: $(VENV)/.test

quickstart: $(VENV)/.installed
	$(RUN) train recipes/quickstart.yaml --overwrite

# Two processes of one thread each: on two cores the suite takes half the time that way.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

test: $(VENV)/.test
	$(PYTEST) -m "not long" -n 2 --dist loadfile

test-all: test check
	$(PYTEST) -m long

check: $(VENV)/.test
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

bench: $(VENV)/.test
	@test -n "$(DATA)" || { echo "make bench DATA=folder of the data sets (eval/README.md)"; exit 2; }
	$(BIN)/python eval/kinds.py $(DATA)
	$(BIN)/python eval/recipes.py $(DATA)
	$(BIN)/python eval/batch_all.py

clean:
	rm -rf $(VENV) runs build dist *.egg-info
