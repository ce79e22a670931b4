# Everything this folder can do for you; `make` alone lists it.

PYTHON ?= python3
BIN := .venv/bin
DEMO := demo

help:
	@echo "make demo        simulate two heads, map them, compare with the truth; results in $(DEMO)/"
	@echo "make test        check the code and run the tests"
	@echo "make image       build the container image; run it as Docker and Apptainer do"
	@echo "make literature  published numbers, put into simulated cohorts and found again"
	@echo "make check       style, types, spelling and the direction of imports only"
	@echo "make slurm-check six participants on a SLURM of one node; needs root"
	@echo "make docs        the documentation as a site, in docs/_build/index.html"
	@echo "make format      put the code into shape"
	@echo "make clean       remove $(DEMO)/, literature/, .venv/ and all caches"

# --- installation: done once, and again when pyproject.toml changes ---

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "qsmprep needs \
	Python 3.11 or newer, and $(PYTHON) is not; name one with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "$(PYTHON) cannot make a virtual environment; on Debian, \
	install the package python3-venv"; exit 1; }

.venv/.installed: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet -e .
	@touch $@

.venv/.installed-dev: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet -e '.[test,dev,docs]'
	@touch $@ .venv/.installed

# --- demonstration ---

# The new name comes last, so that an interrupted simulation is not taken for a dataset.
$(DEMO)/bids/dataset_description.json: $(wildcard qsmprep/simulate/*.py) | .venv/.installed
	rm -rf $(DEMO)/bids $(DEMO)/bids.new
	$(BIN)/qsmprep-simulate $(DEMO)/bids.new --preset demo
	mv $(DEMO)/bids.new $(DEMO)/bids

# Outputs of other settings would be refused, so old ones go; intermediate results are used again.
demo: .venv/.installed $(DEMO)/bids/dataset_description.json
	rm -rf $(DEMO)/out
	$(BIN)/qsmprep $(DEMO)/bids $(DEMO)/out participant \
		--atlas $(DEMO)/bids/derivatives/atlas-simulated -w $(DEMO)/work
	$(BIN)/qsmprep $(DEMO)/bids $(DEMO)/out group
	$(BIN)/python benchmarks/demo.py $(DEMO)/bids $(DEMO)/out

# --- published numbers, into docs/literature.md ---

literature: .venv/.installed
	$(BIN)/python -m benchmarks.literature literature --page docs/literature.md

# --- checks ---

check: .venv/.installed-dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

test: check
	$(BIN)/pytest

slurm-check: .venv/.installed
	PATH="$(CURDIR)/$(BIN):$$PATH" containers/slurm-check.sh

# Where neither Docker nor Apptainer is, it has to be root; see containers/standin.sh.
image: .venv/.installed
	containers/check.sh --apptainer

docs: .venv/.installed-dev
	$(BIN)/python docs/generate.py
	$(BIN)/sphinx-build -W --keep-going -q -c docs . docs/_build

format: .venv/.installed-dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:
	rm -rf $(DEMO) literature .venv build dist docs/_build *.egg-info .coverage \
		.mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.PHONY: help demo literature check test docs image slurm-check format clean
