# StreamFlow's feature store. `make help` lists the targets.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DATA ?=
REPO ?=
PORT ?=
UV := $(BIN)/uv
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

# The variables that a target takes on the command line; PYTHON all of them do. One that the given
# targets do not take is an error, since it would be ignored without a word.
TAKES_demo := DATA REPO
TAKES_serve := PORT
TAKES_explore := PORT
TAKES_bench := ONLY SIZES
TAKES_cluster-test := KEEP WHOLE
TAKES_drill := KEEP
TAKES_drills := ONLY
TAKEN := PYTHON VENV $(foreach goal,$(MAKECMDGOALS),$(TAKES_$(goal)))
GIVEN := $(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(name)))
$(foreach name,$(filter-out $(TAKEN),$(GIVEN)),$(error \
	make $(or $(MAKECMDGOALS),help) takes no $(name); it takes: $(TAKEN)))

.DEFAULT_GOAL := help
# Where it is set, as on machines made for containers, each of the processes that are started here
# compiles what it imports anew: of Feast's import that is two thirds.
unexport PYTHONDONTWRITEBYTECODE
# More than the cores, since a test waits for processes and servers as long as it works.
TESTS := $(BIN)/pytest --numprocesses 3 --dist worksteal --durations 10
ON_CLUSTER := STREAMFLOW_REQUIRE_CLUSTER=1 $(BIN)/pytest -p no:randomly --durations 10 k8s-tests

.PHONY: help setup demo serve explore wheel test test-all coverage check audit format bench scale lock docs schema \
	clean cluster cluster-test cluster-down drill drills

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with every tool and the project itself, from pinned hashes

$(STAMP): requirements/dev.txt requirements/uv.txt pyproject.toml images/streamflow
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, $(PYTHON) is older: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make a virtual environment: on Debian, apt-get install python3-venv" >&2; exit 2; }
	@echo "Setting up $(VENV) from requirements/dev.txt (about 1.2 GB; a few minutes the first time)"
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --require-hashes -r requirements/dev.txt
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@install -m 755 images/streamflow $(BIN)/streamflow
	@touch $@

demo: $(STAMP) ## Run the whole pipeline and ask the API (DATA=months or REPO=definitions of your own)
	@$(BIN)/python -m jobs.demo $(if $(DATA),--data $(DATA)) $(if $(REPO),--definitions $(REPO))

serve: $(STAMP) ## Serve the demo's features on 127.0.0.1 (PORT=8000)
	@$(BIN)/python -m api --port $(or $(PORT),8000)

explore: $(STAMP) ## Show what is in the feature store, in a browser, on 127.0.0.1 (PORT=8100)
	@$(BIN)/python -m explorer --port $(or $(PORT),8100)

test: $(STAMP) ## Every test that needs no cluster and is quick; ten minutes on two cores
	@$(TESTS) -m "not cluster and not slow"

test-all: $(STAMP) ## Every test that needs no cluster, the slow ones too
	@$(TESTS) -m "not cluster"

coverage: $(STAMP) ## Which lines and branches the quick tests do not reach; takes twice as long
	@$(TESTS) -m "not cluster and not slow" --cov --cov-report=term:skip-covered

check: $(STAMP) ## Format, lint, types, imports, known faults of the pins, and `make test-all`
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory audit
	$(MAKE) --no-print-directory test-all

audit: $(STAMP) ## Known faults of what is pinned, where PyPI's database of them can be reached
	@$(BIN)/python requirements/audit.py

format: $(STAMP) ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP) ## Ours, stock Feast and the floor side by side (ONLY=http SIZES=1000,10000 for a part)
	@$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(SIZES),--sizes $(SIZES))

scale: $(STAMP) ## The pipeline with up to ten million users, for docs/scale.md; takes half an hour
	@$(BIN)/python -m benchmarks.scale

cluster: $(STAMP) ## From this clone to an answering API on a local kind cluster
	@$(BIN)/python k8s-tests/kit/cluster.py up

cluster-test: $(STAMP) ## The story of a release on a kind cluster of its own (KEEP=1 leaves it, WHOLE=1 is all)
	@$(ON_CLUSTER) --numprocesses 2 --dist loadscope --keep-cluster \
		-m "cluster and not alone and not drill$(if $(WHOLE),, and not extended)"; \
		code=$$?; $(ON_CLUSTER) -m "cluster and alone" $(if $(KEEP),--keep-cluster) && exit $$code

drill: $(STAMP) ## On a cluster: back up, lose the database with its volume, restore, compare
	@STREAMFLOW_REQUIRE_CLUSTER=1 $(BIN)/pytest -p no:randomly -s k8s-tests/live/test_backup.py $(if $(KEEP),--keep-cluster)

drills: $(STAMP) ## Break everything on purpose and write docs/reliability.md (ONLY=local for a part)
	@$(BIN)/python -m drills $(if $(ONLY),--only $(ONLY))

cluster-down: $(STAMP) ## Remove the cluster that `make cluster` made, with its data
	@$(BIN)/python k8s-tests/kit/cluster.py down

wheel: $(STAMP) ## Build dist/streamflow-VERSION-py3-none-any.whl, the library for other Feast projects
	@$(BIN)/python -m hatchling build -t wheel -d dist >/dev/null 2>&1
	@ls dist/*.whl

docs: $(STAMP) ## Write what docs/ has of commands, requests, declared tables and imports
	@$(BIN)/python -m jobs.reference > docs/cli.md
	@$(BIN)/python -m api.reference > docs/api.md
	@$(BIN)/python -m streamflow.data_dictionary > docs/data.md
	@$(BIN)/python docs/architecture.py

lock: $(STAMP) ## Resolve requirements/*.txt anew from pyproject.toml
	$(LOCK) pyproject.toml --extra api --extra explorer --extra jobs --extra spark --group dev -o requirements/dev.txt
	$(LOCK) pyproject.toml --extra api --excludes requirements/excludes.txt -c requirements/dev.txt -o requirements/api.txt
	$(LOCK) pyproject.toml --extra explorer --excludes requirements/excludes.txt -c requirements/dev.txt -o requirements/explorer.txt
	$(LOCK) pyproject.toml --extra jobs --excludes requirements/excludes.txt -c requirements/dev.txt -o requirements/jobs.txt
	$(LOCK) -c requirements/dev.txt requirements/spark.in -o requirements/spark.txt
	echo uv | $(LOCK) -c requirements/dev.txt - -o requirements/uv.txt
	$(LOCK) -c requirements/dev.txt requirements/build.in -o requirements/build.txt

schema: $(STAMP) ## Make the chart's values.schema.json of values.yaml and values.schema.yaml
	@$(BIN)/python charts/schema.py

clean: ## Stop the embedded PostgreSQL and remove what the other targets made
	@test ! -x $(BIN)/streamflow || $(BIN)/streamflow db stop
	rm -rf .streamflow .venv .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
