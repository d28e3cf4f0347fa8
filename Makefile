# make study [STUDY=nano]        the whole study and its book
# make smoke                     the same in minutes
# make test                      lint, types, every test
# make lint                      ruff and mypy only
# make lab                       JupyterLab on the notebooks
# make checkpoints [SCALE=nano]  that scale's encoders and backbones, where missing or of another recipe (hours)
# make clean                     delete runs/ and caches, not the environment

STUDY ?= nano
SCALE ?= nano
PYTHON ?= python3
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
RUNS := $(or $(BARNLIB_RUNS),runs)
GPUS := $(shell nvidia-smi -L 2>/dev/null | grep -c ^GPU)
# All GPUs of the machine train one run together; one run on each of them would be on the first GPU.
PROCESSES ?= $(if $(filter-out 0,$(GPUS)),$(GPUS),1)
# 1: they share the language model out among themselves, where one GPU cannot hold it whole.
SHARDED ?= 0
# PyPI's torch for Linux carries gigabytes of CUDA; without a GPU the CPU build is taken from PyTorch's own index.
TORCH_INDEX ?= $(if $(filter 0,$(GPUS)),--extra-index-url https://download.pytorch.org/whl/cpu)

# Encoders and backbones that are made here are those with a recipe; controls and published checkpoints have none.
made = $(basename $(notdir $(shell awk '/^[a-z]/ { scale = $$1 } \
    scale == "$(SCALE):" && /^  recipe:/ { print FILENAME }' params/$(1)/*.yaml)))

BIN := .venv/bin
INSTALLED := .venv/installed
LAB := .venv-lab/installed
QLORA := .venv/qlora
# Two processes of one thread are faster than one of two threads, and the same numbers come out.
export OMP_NUM_THREADS ?= 1
# Progress of the study's own steps is shown; notices of libraries about loading a file are not.
export PYTHONWARNINGS ?= ignore:IProgress not found
export TRANSFORMERS_VERBOSITY ?= error
export HF_HUB_DISABLE_PROGRESS_BARS ?= 1

.DEFAULT_GOAL := study
.PHONY: study smoke test lint lab checkpoints clean

study: $(INSTALLED)
	@$(BIN)/snakemake --cores $(CORES) --rerun-incomplete --quiet rules reason host \
	    $(if $(filter-out 0,$(GPUS)),--resources gpu=$(PROCESSES)) \
	    --config study=$(STUDY) processes=$(PROCESSES) sharded=$(SHARDED)
	@echo "The book: $(abspath $(RUNS))/$(STUDY)/book/_build/html/index.html"

smoke:
	@$(MAKE) --no-print-directory study STUDY=smoke

test: lint $(LAB) $(QLORA)
	$(BIN)/pytest -n $(CORES) --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

lab: $(LAB)
	.venv-lab/bin/jupyter-lab --notebook-dir=.

checkpoints: $(INSTALLED)
	$(if $(call made,backbones),,$(error no backbone in params/backbones has a recipe at the scale '$(SCALE)'))
	$(foreach encoder,$(call made,encoders),$(BIN)/python -m barnlib.encoder $(encoder) --scale $(SCALE) &&) true
	$(foreach backbone,$(call made,backbones),$(BIN)/python -m barnlib.pretrain $(backbone) --scale $(SCALE) &&) true

clean:
	rm -rf runs .snakemake book/_build .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else f"Python 3.11 or later is needed, $(PYTHON) is {v.major}.{v.minor}: make PYTHON=python3.11 ...")'
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-deps --retries 1 $(TORCH_INDEX) "$$(sed -n 's/^ *"\(torch==[^"]*\)".*/\1/p' pyproject.toml)"
	$(BIN)/pip install --quiet --editable '.[test]'
	@touch $@

$(QLORA): pyproject.toml $(INSTALLED)
	$(BIN)/pip install --quiet "$$(sed -n 's/^qlora = \["\(.*\)"\]/\1/p' pyproject.toml)"
	@touch $@

$(LAB): pyproject.toml $(INSTALLED)
	test -x .venv-lab/bin/pip || $(PYTHON) -m venv .venv-lab
	.venv-lab/bin/pip install --quiet "$$(sed -n 's/^lab = \["\(.*\)"\]/\1/p' pyproject.toml)"
	JUPYTER_PATH=$(CURDIR)/.venv-lab/share/jupyter $(BIN)/python -m ipykernel install --prefix .venv-lab >/dev/null # its kernel is the project's
	@touch $@
