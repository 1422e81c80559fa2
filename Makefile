# make train and make test need nothing but Python 3.11 or later and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := data/street
OTHERS := $(VENV)-others
SITE := $(VENV)-docs
INSTALLED := $(VENV)/installed
TOOLS := $(VENV)/installed-dev
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Tests run in two processes, one thread each: more threads a process only wait for one another.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2

.PHONY: train test page others docs lint check clean

train: $(INSTALLED) $(DEMO)/demo.txt
	$(BIN)/python train.py

test: $(TOOLS)
	$(PYTEST)

# The page of `serve` in a real browser; needs Debian's chromium.
page: $(TOOLS)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/commands/serve/page_in_chromium.py

# What is written for labeling tools and Triton, read by their own code.
others: $(OTHERS)/installed
	OMP_NUM_THREADS=1 PYTHONPATH=$(OTHERS) $(BIN)/python -m pytest -q tests/commands/predict/others_read.py tests/commands/export/others_read.py

$(OTHERS)/installed: requirements-others.txt $(TOOLS)
	$(INSTALL) --no-deps --upgrade --target $(OTHERS) -r requirements-others.txt
	touch $(OTHERS)/installed

# The documentation as a site, in site/; a broken link is an error.
docs: $(SITE)/installed
	NO_MKDOCS_2_WARNING=1 $(SITE)/bin/mkdocs build --strict --config-file tools/site/mkdocs.yml
	@echo "open site/index.html"

$(SITE)/installed: requirements-docs.txt
	$(PYTHON) -m venv $(SITE)
	$(SITE)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	touch $(SITE)/installed

lint: $(TOOLS)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

# What CI runs. The tests build every experiment that is shipped.
check: lint
	$(PYTEST)

$(DEMO)/demo.txt: | $(INSTALLED)
	$(BIN)/python -m segtrain demo $(DEMO)

# Training, prediction, evaluation and serve need no more than the first; the second adds what the tests need.
$(INSTALLED): requirements.txt constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -r requirements.txt
	touch $(INSTALLED)

$(TOOLS): requirements-dev.txt $(INSTALLED)
	$(INSTALL) -r requirements-dev.txt
	touch $(TOOLS)

# After a change of a requirements file: the versions of everything that these bring, on all systems. Needs uv.
constraints:
	: > constraints.txt
	uv pip compile --quiet --universal --python-version 3.11 --no-annotate requirements-dev.txt -o constraints.txt

clean:
	rm -rf $(VENV) $(OTHERS) $(SITE) site .pytest_cache .ruff_cache
