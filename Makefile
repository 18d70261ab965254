# make demo: set everything up and fit a VMM to scikit-learn's digits.
# make test: set everything up and pass the tests, the notebooks among them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Two cores, often shared: threads that wait by spinning slow each other several times over.
export OMP_WAIT_POLICY = PASSIVE

.PHONY: demo test check docs format clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    fit a VampPrior mixture model to scikit-learn's digits (results in demo-output/)"
	@echo "make test    run the tests"
	@echo "make check   lint and type-check, then the tests"
	@echo "make docs    build the documentation into site/"

$(INSTALLED): pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'pyro-vmm needs Python 3.11 or newer: make PYTHON=python3.11 ...')"
	$(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): some minutes, torch alone is several GB ..."
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[test,docs]"
	touch $@

demo: $(INSTALLED)
	$(BIN)/pyro-vmm demo --output demo-output

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --nbmake --nbmake-timeout=600 notebooks

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) test

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --site-dir site
	@echo "site/index.html"

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) demo-output site build *.egg-info
