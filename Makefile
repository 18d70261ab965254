# make demo: set everything up and fit a VMM to scikit-learn's digits.
# make test: set everything up and pass the tests, the notebooks among them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Two cores, often shared: threads that wait by spinning slow each other several times over.
export OMP_WAIT_POLICY = PASSIVE

.PHONY: demo test tests test-pythons test-lowest check docs format clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    fit a VampPrior mixture model to scikit-learn's digits (results in demo-output/)"
	@echo "make test    run the tests"
	@echo "make check   lint and type-check, then the tests"
	@echo "make docs    build the documentation into site/"
	@echo "make test-pythons, make test-lowest   the tests (no notebooks) with other Pythons, and with the lowest dependencies"

$(INSTALLED): pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'pyro-vmm needs Python 3.11 or newer: make PYTHON=python3.11 ...')"
	$(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): some minutes, torch alone is several GB ..."
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[test,docs]"
	touch $@

demo: $(INSTALLED)
	$(BIN)/pyro-vmm demo --output demo-output

test: tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --nbmake --nbmake-timeout=600 notebooks

tests: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

# Each Python that is on the PATH or among pyenv's, in an environment of its own.
PYTHONS := 3.11 3.12 3.13 3.14
test-pythons:
	@for version in $(PYTHONS); do \
		for python in python$$version "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$$version.*/bin/python; do \
			"$$python" --version >/dev/null 2>&1 && break; \
			python=; \
		done; \
		if [ -z "$$python" ]; then \
			echo "Python $$version is absent: not tested"; \
		else \
			$(MAKE) tests PYTHON="$$python" VENV=.venv-$$version || exit 1; \
		fi; \
	done

# The lowest versions that pyproject.toml allows; "make test" installs the highest.
test-lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --editable ".[test]" --constraint constraints-lowest.txt
	# Old releases warn of what newer releases of what they need have since deprecated;
	# the variable reaches the tests that start a pytest of their own, too.
	OMP_NUM_THREADS=1 PYTEST_ADDOPTS="-W ignore::DeprecationWarning" .venv-lowest/bin/python -m pytest -n 2 --dist loadfile

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
	rm -rf $(VENV) .venv-* demo-output site build *.egg-info
