# `make demo`, `make test`: each sets itself up, once, in .venv.
BIN := .venv/bin
READY := .venv/.ready
OUT ?= demo-result

.PHONY: demo test lint clean

demo: $(READY)
	$(BIN)/dnisnm demo --out $(OUT) --overwrite

test: lint
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy

$(READY): requirements.txt pyproject.toml tools/setup.sh
	@sh tools/setup.sh
	@touch $@

clean:
	rm -rf .venv .uv demo-result .pytest_cache .mypy_cache .ruff_cache .hypothesis
