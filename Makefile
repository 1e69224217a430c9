# Two commands do everything: `make run` and `make test`. Both install what they need into .venv, from locked versions.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
COMPILE := $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-header --group build pyproject.toml

.PHONY: run serve openvino test lint bench bench-latency bench-capacity bench-overload bench-flood bench-baseline bench-batching bench-transport \
	bench-preprocessing bench-autoscaling bench-engines bench-utilisation bench-corpus bench-faults bench-cluster lock clean

run: $(VENV)/run.installed
	@exec $(BIN)/python -m deployments.run $(ARGS)

# The same application in one process, without Ray: for a small server.
serve: $(VENV)/serve.installed
	@exec $(BIN)/pictwarden serve $(ARGS)

# The CPU engine openvino-int8 (docs/models.md): adds what it needs to the installation of `make run`.
openvino: $(VENV)/openvino.installed

test: $(VENV)/dev.installed
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Against the service that `make run` serves in another terminal.
bench: $(VENV)/dev.installed
	$(BIN)/python -m benchmarks.quick $(ARGS)

bench-latency: $(VENV)/dev.installed
	$(BIN)/python -m benchmarks.latency $(ARGS)

bench-capacity: $(VENV)/dev.installed
	$(BIN)/python -m benchmarks.capacity $(ARGS)

bench-overload: $(VENV)/dev.installed
	$(BIN)/python -m benchmarks.overload $(ARGS)

# ARGS="--baseline URL": another validation endpoint, beside that service.
bench-baseline: $(VENV)/dev.installed
	$(BIN)/python -m benchmarks.baseline $(ARGS)

# Many senders of 40 MB at once, and the memory that the ingress takes for them.
bench-flood: $(VENV)/dev.installed
	$(BIN)/python -m benchmarks.flood $(ARGS)

# These two start a service, and Ray nodes, of their own.
bench-faults: $(VENV)/dev.installed
	$(BIN)/python -m benchmarks.faults $(ARGS)

bench-cluster: $(VENV)/dev.installed
	$(BIN)/python -m benchmarks.cluster $(ARGS)

# The engines of the CPU, without a service: torch and openvino-int8.
bench-engines: $(VENV)/dev.installed
	$(BIN)/python -m benchmarks.engines $(ARGS)

# The engine alone against what its device can multiply: the GPU where there is one.
bench-utilisation: $(VENV)/dev.installed
	$(BIN)/python -m benchmarks.utilisation $(ARGS)

bench-batching: $(VENV)/dev.installed
	$(BIN)/python -m benchmarks.batching $(ARGS)

# A body between two replicas, by value and through the object store.
bench-transport: $(VENV)/dev.installed
	$(BIN)/python -m benchmarks.transport $(ARGS)

bench-preprocessing: $(VENV)/dev.installed
	$(BIN)/python -m benchmarks.preprocessing $(ARGS)

# A simulation; no service runs. ARGS="--pass-ms 1:6,8:15,64:90" for the passes of another device than this machine.
bench-autoscaling: $(VENV)/dev.installed
	$(BIN)/python -m benchmarks.autoscaling $(ARGS)

# ARGS=FOLDER: any folder of files, through the service that `make run` serves in another terminal.
bench-corpus: $(VENV)/dev.installed
	$(BIN)/python -m benchmarks.corpus $(ARGS)

# Writes the locks anew, with the newest versions that pyproject.toml allows. The extra's first: it is the one that wants
# older versions of what all have, and all are to have the same.
lock: $(UV)
	$(COMPILE) --extra clip --extra ray --extra openvino --output-file requirements/openvino.lock
	$(COMPILE) --extra clip --extra ray --constraint requirements/openvino.lock --output-file requirements/run.lock
	$(COMPILE) --extra clip --constraint requirements/openvino.lock --output-file requirements/serve.lock
	$(COMPILE) --group dev --extra clip --extra ray --extra openvino --constraint requirements/openvino.lock \
		--output-file requirements/dev.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(UV): requirements/uv.lock
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Pictwarden needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
	@touch $(UV)

# The first installation downloads about 3 GB (torch with its CUDA libraries) and takes some minutes; uv shows progress.
$(VENV)/%.installed: requirements/%.lock pyproject.toml | $(UV)
	$(UV) pip install --python $(BIN)/python --compile-bytecode --require-hashes -r $<
	$(UV) pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --editable .
	@touch $@
