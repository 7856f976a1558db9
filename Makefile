# Everything starts from a fresh clone; each target installs what it needs and nothing else.
# `make` alone lists the targets.

VENV ?= .venv
# Errors are shown all the same; `make setup PIP_QUIET=` tells everything.
PIP_QUIET ?= -qq
BIN := $(VENV)/bin

# Bytecode is written at first use and not at installation: half a minute less for `make demo`. For that,
# Python must be allowed to write it, whatever the caller's environment says.
export PYTHONDONTWRITEBYTECODE =

PIP_PINNED := -m pip --disable-pip-version-check install $(PIP_QUIET) --no-compile -c constraints.txt
# pip builds the few sdists (GPUtil, jieba, rouge_score) apart: with the pinned tools as well.
PIP_INSTALL := $(BIN)/python $(PIP_PINNED) --build-constraint constraints.txt
# Imported once after installing: proves that the stack fits together, and writes its bytecode.
TRAINER := $(BIN)/python -c 'import paddleformers.cli.train.sft.workflow'
TRY_TRAINER = $(TRAINER) >/dev/null 2>&1 || { echo "PaddleFormers does not import; see: $(TRAINER)" >&2; exit 1; }
INPUTS := setup.cfg constraints.txt pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help setup demo tiny-model test test-heavy test-pythons check fix docs lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

# --- environments: each stamp stands for one level, the higher one contains the lower -------------------

$(BIN)/python:
	@echo "[1/2] making $(VENV)"
	@python="$(PYTHON)"; [ -n "$$python" ] || python=$$(tools/find_python) || exit 1; \
	  "$$python" -c 'import sys; v = sys.version_info[:2]; \
	    sys.exit(None if (3, 10) <= v < (3, 13) else "paddle_ground runs on Python 3.10 to 3.12, not %d.%d" % v)' \
	  && "$$python" -m venv --clear "$(VENV)" || { rm -f "$@"; exit 1; }

$(VENV)/.tools: $(BIN)/python $(INPUTS)
	@$(BIN)/python $(PIP_PINNED) pip setuptools wheel
	@touch $@

# What a demo needs: Paddle for CPU, PaddleFormers, the metrics.
$(VENV)/.demo: $(VENV)/.tools
	@echo "[2/2] installing Paddle (CPU), PaddleFormers and the metrics: about 2 GB, one to two minutes"
	@$(PIP_INSTALL) -e '.[cpu,eval]'
	@$(TRY_TRAINER)
	@touch $@

# Every extra.
$(VENV)/.all: $(VENV)/.tools
	@echo "[2/2] installing every extra: about 2.5 GB, one to two minutes"
	@$(PIP_INSTALL) -e '.[all]'
	@$(TRY_TRAINER)
	@touch $@ $(VENV)/.demo

setup: $(VENV)/.all ## make .venv with every extra (PYTHON=... chooses the interpreter)

# --- the main job ----------------------------------------------------------------------------------------

demo: $(VENV)/.demo ## data, training, metrics and a picture on this CPU (SOURCE=<COCO parquet folder> OUT=<folder>)
	@$(BIN)/paddle-ground demo $(if $(SOURCE),--source "$(SOURCE)") $(if $(OUT),--out "$(OUT)")

tiny-model: $(VENV)/.demo ## train the small model in data/ from random weights: hours (tools/tiny_course.yaml)
	@$(BIN)/python tools/make_tiny_model.py

# --- checks ----------------------------------------------------------------------------------------------

test: $(VENV)/.all ## run the test suite (ARGS=... goes to pytest)
	@$(BIN)/python -m pytest $(ARGS)

test-heavy: $(VENV)/.all ## run the tests that take minutes
	@$(BIN)/python -m pytest -m heavy $(ARGS)

check: $(VENV)/.all ## lint, types and tests
	@BIN=$(BIN) tools/check

fix: $(VENV)/.all ## let ruff mend and format what it can
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

test-pythons: ## fresh install of every extra and an import of every module on Python 3.10, 3.11 and 3.12
	@for version in 3.10 3.11 3.12; do \
	  python=$$(tools/find_python $$version) || exit 1; \
	  echo "== Python $$version"; rm -rf ".venv-$$version"; \
	  $(MAKE) --no-print-directory VENV=".venv-$$version" PYTHON="$$python" setup \
	    && ".venv-$$version/bin/python" -m pip check \
	    && ".venv-$$version/bin/python" -m pytest tests/test_packaging.py tests/test_architecture.py \
	    || exit 1; \
	  rm -rf ".venv-$$version"; \
	done

# --- documentation ---------------------------------------------------------------------------------------

docs: $(VENV)/.all ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "open site/index.html"

# --- upkeep ----------------------------------------------------------------------------------------------

lock: ## write constraints.txt anew (KEEP=1: only add what is missing)
	@python=$$(tools/find_python) && "$$python" tools/lock.py $(if $(KEEP),--keep)

clean: ## remove the environments and the caches (runs/ stays)
	@rm -rf .venv .venv-* build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
