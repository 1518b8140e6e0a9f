# make demo: see it work. make test: every check. make docs: the site. Each target sets up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PART ?= 1/1

.PHONY: demo test test-quick docs robustness format wheel matrix release clean

demo: $(READY)
	$(BIN)/wcord demo --out runs/demo

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell src docs examples benchmarks tools README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md
	$(BIN)/pyright
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

# What fails most often, in about half of the time: no whole runs, no kills.
test-quick: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m "not slow"

# The site, strictly and offline: site/index.html opens from disk. Its gallery is made by short runs, once.
docs: $(VENV)/.docs docs/gallery/columns.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	$(BIN)/python tools/check_site.py site

docs/gallery/columns.html: tools/gallery.py | $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tools/gallery.py docs/gallery

# Many more trials of what tests/robustness tries in every test run; writes their table.
robustness: $(READY)
	WCORD_ROBUSTNESS=full WCORD_ROBUSTNESS_TABLE=docs/robustness.md OMP_NUM_THREADS=1 \
		$(BIN)/pytest -n 2 --dist worksteal tests/robustness

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Build the wheel, install it apart from this tree, and run it.
wheel: $(READY)
	$(BIN)/python tools/check_wheel.py

# The tests on every Python of this machine with the oldest and the newest torch: make matrix PART=1/4
matrix:
	$(PYTHON) tools/matrix.py --part $(PART)

release: $(READY)
	$(BIN)/python tools/release.py

# Everything is installed once, and again when the project's dependencies change.
$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[onnx,tensorboard]' --group dev
	touch $(READY)

$(VENV)/.docs: $(READY)
	$(BIN)/python -m pip install --quiet --group docs
	touch $(VENV)/.docs

clean:
	rm -rf $(VENV) .matrix runs site dist docs/gallery
