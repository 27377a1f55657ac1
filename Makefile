# make setup | demo | test | docs | lint | bench      all work from a clean clone and do nothing twice
#
# make test       what every change needs, 6 to 15 minutes on two cores
# make test-ci    what takes long by its nature: kills, faults, other processes, broken files, a real archive
# make test-all   both, and the same for every recipe (marked slow)
# WORKERS=2       processes that share the tests; each computes with one thread. WORKERS=0 runs them in pytest itself.
# TORCH=cpu  (default) pins the version of constraints.txt; where a local wheel folder or a CPU index is configured for
#            pip, its CPU build is taken. TORCH=auto takes the newest torch of the package index (several GB with CUDA).
# EXTRA=...  more pip arguments, for example EXTRA="--index-url ..." for a CPU index.

VENV ?= .venv
TORCH ?= cpu
PYTHON ?= python3
WORKERS ?= 2
BIN = $(VENV)/bin
SHARED_OUT = -n $(WORKERS) --dist worksteal
CONSTRAINTS = $(if $(filter cpu,$(TORCH)),-c constraints.txt)
UV := $(shell command -v uv 2>/dev/null)
LOCAL := $(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null)
export UV_FIND_LINKS ?= $(LOCAL)

.PHONY: setup demo demo-short test test-ci test-all docs lint bench clean

setup: $(VENV)/.done

$(VENV)/.done: pyproject.toml constraints.txt
ifneq ($(UV),)
	test -x $(BIN)/python || $(UV) venv --python ">=3.11" $(VENV)
	$(UV) pip install --python $(BIN)/python $(CONSTRAINTS) $(EXTRA) -e . --group dev
else
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade "pip>=25.1"
	$(BIN)/python -m pip install $(CONSTRAINTS) $(EXTRA) -e . --group dev
endif
	touch $@

demo: setup
	PATH="$(abspath $(BIN)):$$PATH" bash demo/mammograms.sh
	PATH="$(abspath $(BIN)):$$PATH" bash demo/volumes.sh

demo-short: setup
	PATH="$(abspath $(BIN)):$$PATH" SHORT=1 OUT=demo/out/short bash demo/mammograms.sh
	PATH="$(abspath $(BIN)):$$PATH" SHORT=1 OUT=demo/out/short-volumes bash demo/volumes.sh

# make docs       docs/_build/html: the site of the documents; a warning is an error, and nothing is downloaded
DOCS = $(VENV)/.docs

$(DOCS): $(VENV)/.done
ifneq ($(UV),)
	$(UV) pip install --python $(BIN)/python $(CONSTRAINTS) $(EXTRA) --group docs
else
	$(BIN)/python -m pip install -q $(CONSTRAINTS) $(EXTRA) --group docs
endif
	touch $@

docs: $(DOCS)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

test: setup
	$(BIN)/python -m pytest $(SHARED_OUT)

test-ci: setup $(DOCS)
	$(BIN)/python -m pytest $(SHARED_OUT) -m "ci and not slow"

test-all: setup $(DOCS)
	$(BIN)/python -m pytest $(SHARED_OUT) -m "slow or not slow"

lint: setup
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	for script in benchmarks/[a-z]*.py; do $(BIN)/python $$script || exit 1; done

# make release    dist/: sdist and wheel, checked as the package index checks them; the wheel has less than 6 MB, 3.4 of them the example model
# make sbom       dist/: what an installation with all extras consists of, as CycloneDX, and the licences as Markdown;
#                 fails where a licence forbids what Apache-2.0 permits. The list is that of this machine's platform.
# Both use environments of their own below build/, so that no tool of a release is among what is released.
TOOLS = build/tools
INSTALLED = build/installed
WHEEL = $$(ls dist/*.whl)
LARGEST = 6000000
REFUSED_LICENCES = GNU General Public;GPL-2;GPL-3;GPLv2;GPLv3;AGPL;Affero;NonCommercial;Non-Commercial;CC-BY-NC;UNKNOWN

.PHONY: release sbom

$(TOOLS)/.done: Makefile
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install -q "build>=1.2,<2" "twine>=6,<8" "pip-licenses>=5,<6" "cyclonedx-bom>=7,<8"
	touch $@

release: $(TOOLS)/.done
	rm -rf dist
	$(TOOLS)/bin/python -m build --outdir dist .
	$(TOOLS)/bin/twine check --strict dist/*
	test "$$(stat -c %s $(WHEEL))" -lt $(LARGEST)

sbom: release
	rm -rf $(INSTALLED)
	$(PYTHON) -m venv --without-pip $(INSTALLED)
	$(TOOLS)/bin/python -m pip --python $(INSTALLED)/bin/python install -q $(CONSTRAINTS) $(EXTRA) "$(WHEEL)[all]"
	$(TOOLS)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o dist/sbom.json $(INSTALLED)/bin/python
	$(TOOLS)/bin/pip-licenses --python=$(INSTALLED)/bin/python --from=mixed --with-urls --format=markdown \
		--partial-match --fail-on="$(REFUSED_LICENCES)" --output-file=dist/licences.md

clean:
	rm -rf $(VENV) demo/out build dist
