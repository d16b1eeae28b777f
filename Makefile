# Two commands do everything, set-up included: `make demo` and `make test`.

PYTHON ?= python3
BIN := .venv/bin
# Where packages lie beside an index, if pip was told so.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export DO_NOT_TRACK := 1
# Threads that wait for each other must not take the cores of others: ten times slower on a machine that is busy.
export OMP_WAIT_POLICY ?= passive
# Where it is set (in many containers), every process would compile all that it imports anew: 4 s each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-faults lint types bench clean

demo: .venv/.ready data/demo/stores/.simulated
	$(BIN)/sarpipe run data/demo/stores --data data/demo --config data/configs/demo.yaml --prefect

# A process a core, a file of tests in one of them.
test: .venv/.ready
	$(BIN)/python -m pytest -q -n auto --dist loadfile

# Faults that take long to try in all their places: most of an hour.
test-faults: .venv/.ready
	$(BIN)/python -m pytest -q -m faults --timeout 3600

lint: .venv/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy follows folders, not setuptools' package-dir: the three layers are shown to it as the one package they make.
types: .venv/.ready
	rm -rf build/types && mkdir -p build/types/sarpipe
	ln -s $(CURDIR)/sarpipe/* $(CURDIR)/flows $(CURDIR)/tasks build/types/sarpipe/
	cd build/types && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p sarpipe

# One after the other, on a machine that does nothing else.
bench: .venv/.ready
	@for name in preprocess train search orchestration soak; do echo "== benchmarks/$$name.py"; $(BIN)/python benchmarks/$$name.py || exit 1; done

data/demo/stores/.simulated: | .venv/.ready
	$(BIN)/sarpipe simulate data/demo/stores
	touch $@

.venv/.ready: pyproject.toml constraints.txt setup.py sarpipe/preprocess/kernel.c
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "sarpipe needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Name another: make PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv build data/demo
