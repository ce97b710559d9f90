# langgraph-lambda: `make` prints this help.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PORT   ?= 8123
WORKERS ?= 2
SAM    := $(VENV)-sam
TARGET ?= arm64
PROJECT ?= langgraph.json
BUILD_DIR ?= .aws-sam/$(if $(filter host,$(TARGET)),host,build)

# The server that `make diff-reference` compares with.
REFERENCE ?= 'langgraph-cli[inmem]' langgraph-api==0.16.7 langgraph==1.2.22
ONLY ?=

# Read by the SAM CLI, which otherwise reports its use.
export SAM_CLI_TELEMETRY := 0

# Containers run on this machine's own processor; one that is emulated would be slow.
ARCHITECTURE := $(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)
LOCAL := $(BIN)/python -m infra.local --sam $(SAM)/bin/sam --architecture $(ARCHITECTURE)

# What runs the build: `sam build` alone needs no development environment.
BUILD_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))

.DEFAULT_GOAL := help
.PHONY: help setup setup-sam run local local-invoke test coverage test-slow check format lint types imports build documents diff-reference bench bench-checkpoints bench-cold constraints clean

help: ## print this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

setup: $(VENV)/.ready ## create .venv with everything pinned

$(SAM)/.ready: constraints-sam.txt
	$(PYTHON) -m venv $(SAM)
	$(SAM)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-sam.txt aws-sam-cli cfn-lint
	@touch $@

setup-sam: $(SAM)/.ready ## create .venv-sam with the SAM CLI, whose pins agree with nobody else's

run: setup ## start the local server on 127.0.0.1:8123 (PORT=…)
	$(BIN)/python -m handler --config langgraph.json --host 127.0.0.1 --port $(PORT)

local: setup ## with Docker: serve on 127.0.0.1:8123 from containers, as Lambda runs the functions (PORT=…, WORKERS=…)
	$(MAKE) --no-print-directory build TARGET=$(ARCHITECTURE) BUILD_DIR=.aws-sam/local
	$(LOCAL) serve --port $(PORT) --workers $(WORKERS)

local-invoke: setup ## beside `make local`: one function with an event of your own (FUNCTION=… EVENT=FILE)
	$(LOCAL) invoke $(FUNCTION) $(EVENT)

test: setup setup-sam ## run every test but the slow ones, on every core
	$(BIN)/python -m pytest -m "not slow or ci" -n auto --dist loadfile

coverage: setup setup-sam ## the same on one core, with the branches that were taken
	$(BIN)/python -m pytest -m "not slow" --cov --cov-report=term

test-slow: setup setup-sam ## run the tests that take real time
	$(BIN)/python -m pytest -m slow

format: setup ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

check: lint types imports test ## all that CI runs

build: setup-sam ## check the template and build the artefact (PROJECT=…/langgraph.json, TARGET=x86_64)
	$(SAM)/bin/sam validate --lint
	PROJECT=$(PROJECT) TARGET=$(TARGET) $(SAM)/bin/sam build --build-dir $(BUILD_DIR) \
		$(if $(filter host,$(TARGET)),,--parameter-overrides Architecture=$(TARGET))

build-%Function:
	$(BUILD_PYTHON) infra/build.py --target $(TARGET) --config $(PROJECT) $(ARTIFACTS_DIR)

documents: setup ## write docs/compatibility.md and docs/openapi.json anew
	$(BIN)/python -m tests.difference.documents

diff-reference: setup ## compare our answers with those of `langgraph dev` (some minutes; ONLY='threads: search')
	$(PYTHON) -m venv $(VENV)-reference
	@trap 'rm -rf $(VENV)-reference' EXIT; set -ex; \
	$(VENV)-reference/bin/python -m pip install --quiet --disable-pip-version-check $(REFERENCE); \
	$(BIN)/python -m tests.difference --langgraph $(VENV)-reference/bin/langgraph --only '$(ONLY)'

bench: setup ## what a wait costs: requests and units
	$(BIN)/python -m pytest -q tests/bench

bench-cold: setup ## what a cold start imports, over what it cannot do without (about a minute)
	$(MAKE) --no-print-directory build TARGET=host
	$(BIN)/python -m tests.bench.cold .aws-sam/host/ApiFunction

bench-checkpoints: setup ## what a turn costs, ours and langgraph-checkpoint-aws (some minutes)
	$(PYTHON) -m venv $(VENV)-peer
	$(VENV)-peer/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		langgraph-checkpoint-aws langgraph 'moto[dynamodb,server]' boto3
	$(BIN)/python -m tests.bench.checkpoints $(VENV)-peer/bin/python docs/benchmarks.md
	rm -rf $(VENV)-peer

constraints: ## pin again what .[dev] resolves to
	$(PYTHON) -m venv $(VENV)-pins
	$(VENV)-pins/bin/python -m pip install --quiet --disable-pip-version-check --upgrade '.[dev]'
	$(VENV)-pins/bin/python -m pip freeze --exclude langgraph-lambda | grep -v ' @ ' > constraints.txt
	rm -rf $(VENV)-pins
	$(PYTHON) -m venv $(SAM)-pins
	$(SAM)-pins/bin/python -m pip install --quiet --disable-pip-version-check --upgrade aws-sam-cli cfn-lint
	$(SAM)-pins/bin/python -m pip freeze | grep -v ' @ ' > constraints-sam.txt
	rm -rf $(SAM)-pins

clean: ## remove what the targets made
	rm -rf $(VENV) $(SAM) .aws-sam .local .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
