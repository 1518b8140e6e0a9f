# make demo: see it work. make test: every check. make robustness: kills, damage and bad input at length. All set up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test robustness format benchmark clean

demo: $(READY)
	$(BIN)/wcord demo --out runs/demo

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell src docs examples benchmarks README.md CHANGELOG.md CONTRIBUTING.md
	$(BIN)/pyright
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

# Many more trials of what tests/robustness tries in every test run; writes their table.
robustness: $(READY)
	WCORD_ROBUSTNESS=full WCORD_ROBUSTNESS_TABLE=docs/robustness.md OMP_NUM_THREADS=1 \
		$(BIN)/pytest -n 2 --dist worksteal tests/robustness

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Everything is installed once, and again when the project's dependencies change.
$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[onnx,tensorboard]' --group dev
	touch $(READY)

clean:
	rm -rf $(VENV) runs
