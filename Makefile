# The commands of the workbook. `make` alone explains them.

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
NB ?=
TESTS ?=
RECORD ?=
STEPS ?=
WORKERS ?= 2
LAB_ARGS ?=

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
# The stamp's name holds the checkout's place: an environment in a folder that was moved is installed again.
STAMP := $(VENV)/.installed-$(word 1,$(shell printf '%s' '$(CURDIR)' | cksum))
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
FIRST_PITCH := import numpy; from labutils.metrics import f0; f0(numpy.sin(numpy.arange(16000) / 20), 16000)
# JupyterLab refuses to run as root, which is the usual user in a container, unless it is told to.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.DEFAULT_GOAL := help
.PHONY: help install lab test test-gpu records notebooks book lint

help:
	@echo "make lab         install what is needed into $(VENV), open JupyterLab on the first notebook"
	@echo "make test        install the same, run every test and every notebook (TESTS=tests/test_mel.py: only these)"
	@echo "make test-gpu    install the same, run the tests that need an NVIDIA GPU (RECORD=data/records: keep their report)"
	@echo "make records     measure again what needs an NVIDIA GPU (STEPS=\"--list\": show what there is)"
	@echo "make notebooks   run every notebook and save it with its outputs (NB=01: only this one)"
	@echo "make book        run every notebook into HTML pages with sound, in book/ (NB=01: only this one)"
	@echo "make lint        look for mistakes in the code with ruff"
	@echo ""
	@echo "PYTHON=python3.12   the Python to make the environment with, 3.11 or newer"
	@echo "TORCH_INDEX=URL     take PyTorch from this package index. Without a GPU this saves gigabytes: choose"
	@echo "                    your system, Pip and CPU on PyTorch's install page; it shows the URL after --index-url"
	@echo "LAB_ARGS=...        more arguments for JupyterLab, for instance --no-browser"

install: $(STAMP)

lab: $(STAMP)
	$(PY) -m jupyterlab $(AS_ROOT) --ServerApp.root_dir="$(CURDIR)" \
	    --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(LAB_ARGS)

test: $(STAMP)
	$(PY) -m pytest -n $(WORKERS) --dist loadgroup $(TESTS)

test-gpu: $(STAMP)
	$(PY) -m labutils.gpu_tests $(if $(RECORD),--save $(RECORD)) $(TESTS)

records: $(STAMP)
	$(PY) -m labutils.remeasure --save $(or $(RECORD),data/records) $(STEPS)

notebooks: $(STAMP)
	$(PY) -m labutils.workbook run $(NB)

book: $(STAMP)
	$(PY) -m labutils.workbook book $(NB)

lint: $(STAMP)
	$(PY) -m ruff check .

$(STAMP): pyproject.toml constraints.txt
	@$(PY) -c 'import pip; $(NEW_ENOUGH)' 2>/dev/null || { \
	    $(PYTHON) -c '$(NEW_ENOUGH)' || { \
	        echo "$(PYTHON) is not Python 3.11 or newer: name one that is, for instance PYTHON=python3.12" >&2; exit 1; }; \
	    $(PYTHON) -m venv --clear $(VENV); }
	$(if $(TORCH_INDEX),$(PIP) install --no-deps --index-url "$(TORCH_INDEX)" -c constraints.txt torch)
	$(PIP) install -c constraints.txt -e ".[dev]"
	@echo "Trying the optional measure PESQ, which has to be compiled"
	@$(PIP) install -q -c constraints.txt -e ".[pesq]" > $(VENV)/pesq.log 2>&1 \
	    || echo "PESQ was left out: it needs a C compiler and Python's headers ($(VENV)/pesq.log). All else works without it."
# Two processes that compile them side by side can mix their caches up, and a kernel then dies.
	@echo "Compiling librosa's pitch functions, once and before any notebook does"
	@$(PY) -c '$(FIRST_PITCH)'
	@rm -f $(VENV)/.installed-*
	@touch $@
