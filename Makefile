# Two commands do all set-up: `make check` tries the program, `make test` runs the tests.
#
# Versions come from constraints.txt. torch goes first, so that its pinned version, and not the
# newest one, decides what is downloaded; TORCH chooses another build, as README.md explains.

PYTHON ?= python3
VENV   ?= .venv
TORCH  ?= torch
JOBS   ?= 2
PIP    := $(VENV)/bin/python -m pip --disable-pip-version-check
NEWEST ?= .venv-newest
NEWEST_PIP := $(NEWEST)/bin/python -m pip --disable-pip-version-check
TESTS  ?=

# Hundreds of short processes are started by tests: each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: check test test-long test-newest lint docs clean

check: $(VENV)/.installed
	$(VENV)/bin/pathdsl check hypotheses/quickstart

test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

# Also the random cases that are marked `long`; docs/tests.md has the numbers.
test-long: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(JOBS) --dist loadfile -m ''

# The same tests with the newest transformers that pyproject.toml allows, all else as pinned; what
# transformers itself pins goes with it. `make test-newest TESTS=tests/engine` runs a part.
test-newest: $(NEWEST)/.torch
	$(NEWEST_PIP) install --quiet --upgrade \
	  --upgrade-strategy only-if-needed --no-build-isolation -c $(NEWEST)/constraints.txt \
	  transformers -e '.[dev]'
	@$(NEWEST)/bin/python -c 'import torch, transformers; \
	  print("transformers", transformers.__version__, "torch", torch.__version__)'
	OMP_NUM_THREADS=1 $(NEWEST)/bin/python -m pytest -n $(JOBS) --dist loadfile $(TESTS)

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# The pages of docs/ as a site, in docs/_build/html; a warning is an error, as in the tests.
docs: $(VENV)/.installed-dev
	$(VENV)/bin/python -m sphinx -b html -W --keep-going -q docs docs/_build/html

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "pathdsl needs Python 3.11 or newer: make PYTHON=python3.11 …" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.torch: constraints.txt | $(VENV)/.created
	$(PIP) install --quiet -c constraints.txt hatchling editables
	$(PIP) install --quiet -c constraints.txt $(TORCH)
	@touch $@

$(NEWEST)/.torch: constraints.txt
	$(PYTHON) -m venv $(NEWEST)
	grep -vE '^(transformers|tokenizers|huggingface_hub|hf-xet)==' $< > $(NEWEST)/constraints.txt
	$(NEWEST_PIP) install --quiet -c $(NEWEST)/constraints.txt hatchling editables
	$(NEWEST_PIP) install --quiet -c $(NEWEST)/constraints.txt $(TORCH)
	@touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.torch
	$(PIP) install --quiet --no-build-isolation -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.torch
	$(PIP) install --quiet --no-build-isolation -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) $(NEWEST)
