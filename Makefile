# `make demo`, `make test`: each sets itself up, once, in .venv; `make test` also in .venv-modern, where a current Python is.
BIN := .venv/bin
READY := .venv/.ready
OUT ?= demo-result

# What a current Python, NumPy and torch could change: integers, files, the front-end, the way to Lava.
MODERN := $(addprefix sim_tests/,backends/test_executors.py backends/test_lava_python.py exporters/test_archive.py exporters/test_netx.py exporters/test_torch_export.py \
	exporters/test_torch_module.py frontend/test_composition.py frontend/test_frontend.py frontend/test_user_networks.py procs/test_network_process.py)
# Of those, what no other Python could change: refusals of a file's contradictions.
MODERN += --deselect sim_tests/exporters/test_netx.py::test_a_file_that_contradicts_itself_is_refused

# Two files of tests at a time, each by a process of one thread: as fast as two cores are.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 1

.PHONY: demo test modern lowest lint site clean

demo: $(READY)
	$(BIN)/dnisnm demo --out $(OUT) --overwrite

test: lint modern
	$(PYTEST)

modern: $(READY)
	@sh tools/test_modern.sh $(MODERN)

# The lower bound of every dependency: by hand, when one of them moves.
lowest: $(READY)
	@sh tools/setup.sh .venv-lowest requirements-lowest.txt 3.10
	DNISNM_LAVA_PYTHON=$(CURDIR)/$(BIN)/python .venv-lowest/bin/python -m pytest $(MODERN) sim_tests/data/test_loading.py sim_tests/exporters/test_nir.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy

# The pages of docs/, into site/.
site: $(READY)
	$(BIN)/mkdocs build --strict

$(READY): requirements.txt pyproject.toml tools/setup.sh
	@sh tools/setup.sh .venv requirements.txt 3.10
	@touch $@

clean:
	rm -rf .venv .venv-modern .venv-lowest .uv site demo-result .pytest_cache .mypy_cache .ruff_cache .hypothesis
