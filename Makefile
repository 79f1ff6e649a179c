PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := .demo
STUDY := .study

.PHONY: demo test lint bench faults docs study clean

# The stamp is renewed when the project's dependencies change.
$(VENV)/.base: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -e '.[train]'
	touch $@

# Who reads results need not install what trains.
$(VENV)/.read: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -e .
	touch $@

$(VENV)/.test: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -e '.[train,test]'
	touch $(VENV)/.base $@

$(VENV)/.bench: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -e '.[train,bench,test]'
	touch $(VENV)/.base $(VENV)/.test $@

$(VENV)/.docs: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -e '.[docs]'
	touch $@

demo: $(VENV)/.base
	mkdir -p $(DEMO)
	$(BIN)/generate search --family dnn --family cnn --depths 1 --max-drop 2% --resolution 40% --looks 5,10,20 \
	    --store $(DEMO)/demo.duckdb
	$(BIN)/analyze regimes --store $(DEMO)/demo.duckdb
	$(BIN)/reports render --store $(DEMO)/demo.duckdb --out $(DEMO)/report.html
	@echo "the report is $(DEMO)/report.html"

# The stored results of the study, as far as they go, in one store, and the report on them.
study: $(VENV)/.read
	mkdir -p $(STUDY)
	for folder in results/*/; do $(BIN)/store import $$folder --store $(STUDY)/study.duckdb || exit 1; done
	$(BIN)/reports render --store $(STUDY)/study.duckdb --out $(STUDY)/report.html
	@echo "the store is $(STUDY)/study.duckdb, the report $(STUDY)/report.html"

# A file's tests stay together: they share what they planted. In the order of names: the longest files are not last.
test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Takes hours: 200 kills, and signals at many moments.
faults: $(VENV)/.test
	$(BIN)/python -m pytest tests/faults --slow --kills 200

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks.run

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build
	@echo "the site starts at site/index.html"

clean:
	rm -rf $(VENV) $(DEMO) $(STUDY) site
