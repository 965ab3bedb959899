# make figures            run the default study (config/digits.yaml) and draw its figures
# make figures STUDY=…    another study
# make figures FROM=…     draw the figures of an exported study from its archive: no data, no training
# make report STUDY=…     write results/{study}/report.html: settings and results on one page
# make export STUDY=…     pack a study's tables, settings and figures into results/{study}/{study}.zip
# make paper              draw the papers' figures, with their numbers and ours: results/paper/index.html
# make claims             write docs/claims.md: each claim of the papers with the numbers for and against it
# make status STUDY=…     show progress, and why jobs failed
# make setup              create only the environment, .venv
# make test               run every check
# make docs               build the documentation as a site, results/site
# make bench              measure speed, and write docs/benchmarks.md (about 17 minutes)
#
# Each creates .venv on first use, with pinned versions.

PYTHON ?= python3
STUDY ?= config/digits.yaml
BIN := .venv/bin
LATENTGEN := $(BIN)/python -m latentgen
SNAKEMAKE := $(BIN)/python -m snakemake
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint envs/constraints.txt --editable

.PHONY: setup figures report export paper claims status test docs bench clean

# With from_tables, Snakemake only draws: no code that the archive names is imported or called.
ifdef FROM
SETTINGS = "$$($(LATENTGEN) unpack '$(FROM)')"
figures: .venv/installed
	@study=$(SETTINGS) && \
	$(SNAKEMAKE) figures --cores all --config from_tables=true --configfile "$$study" && \
	$(LATENTGEN) compare-figures '$(FROM)'
else
SETTINGS = '$(STUDY)'
figures: .venv/installed
	@$(LATENTGEN) check --quiet '$(STUDY)'
	@$(SNAKEMAKE) all --cores all --configfile '$(STUDY)'
endif

report: figures
	@$(LATENTGEN) report $(SETTINGS)

export: figures
	@$(LATENTGEN) export $(SETTINGS)

# Nothing is trained: figures are drawn from published numbers and archives of reference results.
paper: .venv/installed
	@$(SNAKEMAKE) paper --snakefile workflow/paper.smk --profile profiles/default
	@echo "The papers' figures: open results/paper/index.html"

claims: .venv/installed
	@$(LATENTGEN) claims

setup: .venv/installed

status: .venv/installed
	@$(LATENTGEN) status '$(STUDY)'

test: .venv/installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile rules workflow/paper.smk
	$(BIN)/codespell
	$(SNAKEMAKE) --lint
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses logical --dist loadfile

docs: .venv/installed-test
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet && echo "The site is in results/site: open results/site/index.html"

bench: .venv/installed-test
	$(BIN)/python -m benchmarks

.venv/installed: pyproject.toml envs/constraints.txt
	@echo "Setting up .venv (once; torch is large) …"
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "latentgen needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is another; try make PYTHON=python3.11")'
	@$(PYTHON) -c 'import os, re, sys; sys.exit(re.search(r"[^\w./+@%,:=~-]", os.getcwd()) and f"Move the project: {os.getcwd()} has blanks or other characters that Snakemake cannot pass to its jobs")'
	@$(PYTHON) -m venv .venv
	@$(INSTALL) .
	@touch $@

.venv/installed-test: .venv/installed
	@$(INSTALL) '.[test,docs,slurm]'
	@touch $@

clean:
	rm -rf .venv results .snakemake
