# `make test` and `make quickstart` need Python, make and a package index, and nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

DATA ?= movielens-100k
DATA_DIR ?=
RUN ?= runs/quickstart
# Two test processes: most of a test's time is Python's, and each needs up to 3 GB.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

.PHONY: venv test test-tensorflow test-jax test-tfrs lint types docs quickstart clean

venv: $(VENV)/.installed

$(VENV)/.installed: setup.py serving/pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable "./serving[server]" --editable ".[dev]"
	touch $@

test: test-tensorflow test-jax test-tfrs

# The runtime of TensorFlow Serving's newest release, beside ours: exports are proved on it. Where there is
# no such package the tests that need it are skipped.
SERVING_RUNTIME := $(VENV)/tensorflow-2.20.0

$(SERVING_RUNTIME)/.installed: | venv
	-$(BIN)/python -m pip install --quiet --no-deps --target $(@D) tensorflow-cpu==2.20.0 && touch $@

test-tensorflow: venv $(SERVING_RUNTIME)/.installed
	KERAS_BACKEND=tensorflow $(PYTEST) tests serving/tests

# What a JAX user runs: the layers, their arithmetic and execution, optimizers and losses.
test-jax: venv
	KERAS_BACKEND=jax $(PYTEST) tests/test_routing.py tests/test_balance.py tests/test_slots.py tests/layers \
		tests/execution tests/backend/test_keras_internals.py tests/optimizers tests/losses tests/features tests/tasks tests/baselines tests/metrics \
		tests/diagnostics

# TensorFlow Recommenders needs `tf.keras` to be Keras 2, in the whole process.
test-tfrs: venv
	TF_USE_LEGACY_KERAS=1 $(BIN)/python -m pytest tests/tfrs tests/docs/test_docstrings.py tests/docs/test_pages.py -k tfrs

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: venv
	$(BIN)/python -m mypy

docs: venv
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

quickstart: venv
	$(BIN)/python examples/quickstart.py --data $(DATA) $(if $(DATA_DIR),--data-dir $(DATA_DIR)) --out $(RUN)

clean:
	rm -rf $(VENV) build dist runs *.egg-info
