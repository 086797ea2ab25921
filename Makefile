.DEFAULT_GOAL := help
.PHONY: help setup demo check test flip fuzz kill bench gpu clean

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.edgeseg-setup
EXTRAS := train,openvino,ort,rtx,dev,video,track,sign
PACKAGE := edgeseg tests benchmarks

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-8s %s\n", $$1, $$2}'

setup: $(STAMP) ## install edgeseg and its tools into .venv

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@

demo: setup ## export, score and time the network that ships with edgeseg (exit 3: machine too noisy, not an error)
	$(BIN)/edgeseg run recipes/demo.toml || test $$? -eq 3

check: setup ## format, lint, types, import direction
	$(BIN)/ruff format --check $(PACKAGE)
	$(BIN)/ruff check $(PACKAGE)
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup ## the whole test suite; real data where EDGESEG_DATA points to it
	$(BIN)/pytest -q -n 2 --dist loadfile

flip: setup ## flip 1,000 bits in bundles of every kind and in caches (FLIP="--flips 200 --seed 7")
	$(BIN)/python tests/campaigns/flip.py $(FLIP)

fuzz: setup ## 1,000 bad inputs for every command and file format (FUZZ="--seed 7 --count 200 --only export onnx")
	$(BIN)/python tests/campaigns/fuzz.py $(FUZZ)

kill: setup ## kill each command 60 times at random moments (KILL="--kills 10 --only train"); goes on where it stopped
	$(BIN)/python tests/campaigns/kill.py $(KILL)

bench: setup ## the measurements quoted in docs/, written to benchmarks/results/
	@mkdir -p benchmarks/results
	$(BIN)/python benchmarks/help_time.py
	$(BIN)/python benchmarks/end_to_end.py --output benchmarks/results/end_to_end.json

gpu: ## prove and time every engine that runs on the GPU here, beside PyTorch; installs nothing (exit 4: no GPU)
	@$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) benchmarks/gpu.py

clean: ## remove .venv and what tools left behind
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist
