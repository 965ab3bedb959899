# make figures            run the default study (config/digits.yaml) and draw its figures
# make figures STUDY=…    another study
# make test               run every check
#
# Both set up all they need, in .venv.

PYTHON ?= python3
STUDY ?= config/digits.yaml
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint envs/constraints.txt --editable

.PHONY: figures test clean

figures: .venv/installed
	@$(BIN)/snakemake all --cores all --configfile $(STUDY)

test: .venv/installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint
	$(BIN)/mypy
	$(BIN)/pytest

.venv/installed: pyproject.toml envs/constraints.txt
	@echo "Setting up .venv (once; torch is large) …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "latentgen needs Python 3.11 or newer, and $(PYTHON) is older; try make PYTHON=python3.11")'
	@$(PYTHON) -m venv .venv
	@$(INSTALL) .
	@touch $@

.venv/installed-test: .venv/installed
	@$(INSTALL) '.[test,slurm]'
	@touch $@

clean:
	rm -rf .venv results .snakemake
