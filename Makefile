# Two commands do all set-up: `make check` tries the program, `make test` runs the tests.
#
# Versions come from constraints.txt. torch goes first, so that its pinned version, and not the
# newest one, decides what is downloaded; TORCH chooses another build, as README.md explains.

PYTHON ?= python3
VENV   ?= .venv
TORCH  ?= torch
JOBS   ?= 2
PIP    := $(VENV)/bin/python -m pip --disable-pip-version-check

.PHONY: check test lint clean

check: $(VENV)/.installed
	$(VENV)/bin/pathdsl check hypotheses/quickstart

test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(JOBS)

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "pathdsl needs Python 3.11 or newer: make PYTHON=python3.11 …" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.torch: constraints.txt | $(VENV)/.created
	$(PIP) install --quiet -c constraints.txt hatchling editables
	$(PIP) install --quiet -c constraints.txt $(TORCH)
	@touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.torch
	$(PIP) install --quiet --no-build-isolation -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.torch
	$(PIP) install --quiet --no-build-isolation -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV)
