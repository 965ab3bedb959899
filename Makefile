# make figures            run the default study (config/digits.yaml) and draw its figures
# make figures STUDY=…    another study
# make figures FROM=…     draw the figures of an exported study from its archive: no data, no training
# make report STUDY=…     write results/{study}/report.html: what was asked and found, on one page
# make export STUDY=…     pack a study's tables, settings and figures into results/{study}/{study}.zip
# make status STUDY=…     how far a study is, and why what failed did
# make setup              the environment alone, .venv
# make test               run every check
# make docs               build the documentation as a site, results/site
# make bench              measure speed, and write docs/benchmarks.md (some 17 minutes)
#
# Each sets up all it needs, in .venv.

PYTHON ?= python3
STUDY ?= config/digits.yaml
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint envs/constraints.txt --editable

.PHONY: setup figures report export status test docs bench clean

ifdef FROM
figures: .venv/installed
	@study=$$($(BIN)/python -m latentgen.report.archive unpack $(FROM)) && \
	$(BIN)/snakemake figures --cores all --configfile $$study && \
	$(BIN)/python -m latentgen.report.archive check $(FROM)
else
figures: .venv/installed
	@$(BIN)/snakemake all --cores all --configfile $(STUDY)
endif

report: .venv/installed
	@$(BIN)/snakemake report --cores all --configfile $(STUDY)

export: .venv/installed
	@$(BIN)/snakemake export --cores all --configfile $(STUDY)

setup: .venv/installed

status: .venv/installed
	@$(BIN)/python -m latentgen.jobs.status $(STUDY)

test: .venv/installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/codespell
	$(BIN)/snakemake --lint
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses logical --dist loadfile

docs: .venv/installed-test
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet && echo "The site is in results/site: open results/site/index.html"

bench: .venv/installed-test
	$(BIN)/python -m benchmarks

.venv/installed: pyproject.toml envs/constraints.txt
	@echo "Setting up .venv (once; torch is large) …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "latentgen needs Python 3.11 or newer, and $(PYTHON) is older; try make PYTHON=python3.11")'
	@$(PYTHON) -m venv .venv
	@$(INSTALL) .
	@touch $@

.venv/installed-test: .venv/installed
	@$(INSTALL) '.[test,docs,slurm]'
	@touch $@

clean:
	rm -rf .venv results .snakemake
