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

PIP       := $(BIN)/python -m pip install --quiet --disable-pip-version-check
CPU_TORCH := --retries 0 --timeout 15 --index-url https://download.pytorch.org/whl/cpu

# On Linux a plain requirement of torch brings gigabytes of CUDA: without an NVIDIA GPU its CPU build goes
# first, from PyTorch's own index, and from the usual one where that is out of reach.
$(VENV)/.torch: $(BIN)/python
	@$(BIN)/python -c "import torch" 2>/dev/null \
	|| { [ "$$(uname)" = Linux ] && ! command -v nvidia-smi >/dev/null && $(PIP) $(CPU_TORCH) "$(TORCH)" 2>/dev/null; } \
	|| $(PIP) "$(TORCH)"
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	$(PIP) -e .
	@touch $@

$(VENV)/.test: $(VENV)/.installed
	$(PIP) -e ".[test,check]"
	@touch $@

install: $(VENV)/.installed

install-test: $(VENV)/.test

quickstart: $(VENV)/.installed
	$(RUN) train recipes/quickstart.yaml --overwrite

# Two processes of one thread each: on two cores the suite takes half the time that way.
# Compiled files are kept, whatever the person's setting: tests start more than a dozen further interpreters.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest

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
	$(BIN)/python eval/throughput.py $(DATA)
	$(BIN)/python eval/mining.py $(DATA)
	$(BIN)/python eval/hard_negatives.py $(DATA)
	$(BIN)/python eval/intervals.py
	$(BIN)/python eval/load.py
	$(BIN)/python eval/quality.py $(DATA)
	$(BIN)/python eval/search.py $(DATA)
	$(BIN)/python eval/search_kills.py
	$(BIN)/python eval/experiments/all.py $(DATA)

clean:
	rm -rf $(VENV) runs build dist *.egg-info
