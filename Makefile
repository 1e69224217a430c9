# Two commands do everything: `make run` and `make test`. Both install what they need into .venv, from locked versions.
PYTHON ?= python3
VENV := .venv
PARITY := .venv-parity
AUDIT := .venv-audit
LOCKS := $(wildcard requirements/*.lock)
BIN := $(VENV)/bin
UV := $(BIN)/uv
COMPILE := $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-header --group build pyproject.toml

.PHONY: run serve openvino test e2e lint bench parity parity-nsfwjs pin-images image-sizes image-test audit sbom lock clean

run: $(VENV)/run.installed
	@exec $(BIN)/python -m deployments.run $(ARGS)

# The same application in one process, without Ray: for a small server.
serve: $(VENV)/serve.installed
	@exec $(BIN)/pictwarden serve $(ARGS)

# The CPU engine openvino-int8 (docs/models.md): adds what it needs to the installation of `make run`.
openvino: $(VENV)/openvino.installed

# Everything is run by two workers (tests/workers.py); a part, which ARGS names by its path, is quicker without.
WORKERS := $(if $(filter tests%,$(ARGS)),,--numprocesses=2)

test: $(VENV)/dev.installed
	$(BIN)/python -m pytest $(WORKERS) $(ARGS)

# The tests with a real pict-rs, which cargo builds once, outside the repository: 3 minutes. Without cargo they are skipped.
# `make test` has those in dummy mode and in one process alone; here they also run on Ray Serve, and in full mode.
e2e: $(VENV)/dev.installed
	$(BIN)/python -m tests.e2e.pictrs.installation
	PICTWARDEN_E2E=all $(BIN)/python -m pytest tests/e2e/pictrs $(ARGS)

lint: $(VENV)/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Benchmarks: `.venv/bin/python -m benchmarks` lists them, docs/benchmarks.md says which need the service that `make run`
# serves in another terminal.
bench: bench-quick

bench-%: $(VENV)/dev.installed
	$(BIN)/python -m benchmarks $* $(ARGS)

# Whether our policy decides as horde-safety does (docs/policy.md), in an environment of its own that no lock describes:
# the package is licensed under the AGPL.
parity: $(PARITY)/installed
	$(PARITY)/bin/python -m tools.parity $(ARGS)

$(PARITY)/installed: pyproject.toml | $(UV)
	$(UV) venv --quiet --clear --python $(BIN)/python $(PARITY)
	$(UV) pip install --quiet --python $(PARITY)/bin/python --group parity --editable '.[clip]'
	@touch $@

# Whether our nsfwjs gives the scores of the package's own, which Node runs outside the repository. Without npm: skipped.
parity-nsfwjs: $(VENV)/dev.installed
	$(BIN)/python -m tests.e2e.nsfwjs.installation
	$(BIN)/python -m pytest tests/e2e/nsfwjs $(ARGS)

# Fills in what the Dockerfile takes from a network: ARGS="--registry URL --torch-index URL" (docs/install-compose.md).
pin-images: $(VENV)/dev.installed
	$(BIN)/python -m tools.image.pins $(ARGS)

# How large the images are, computed from the locks: ARGS="cpu cuda".
image-sizes: $(VENV)/dev.installed
	$(BIN)/python -m tools.image.sizes $(ARGS)

# Builds the image without torch, and runs it as compose.yaml says: with Debian's buildah, debootstrap and podman, as root.
# Otherwise skipped.
image-test: $(VENV)/dev.installed
	$(BIN)/python -m tests.e2e.image.installation
	PICTWARDEN_IMAGE_TEST=1 $(BIN)/python -m pytest tests/e2e/image $(ARGS)

# Known vulnerabilities of all that is locked. No answer is a failure: it needs a network. Not a part of CI, since its result
# changes without a commit.
audit: $(AUDIT)/installed
	@for lock in $(LOCKS); do echo "$$lock:" && $(AUDIT)/bin/pip-audit --strict --disable-pip --require-hashes \
		--progress-spinner off --requirement "$$lock" || exit 1; done

# The software bill of materials of each lock, as CycloneDX: every package, its version and its hashes.
sbom: $(AUDIT)/installed
	@mkdir -p reports/sbom
	@for lock in $(LOCKS); do $(AUDIT)/bin/python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml \
		--output-reproducible --output-file "reports/sbom/$$(basename "$$lock" .lock).cdx.json" "$$lock" || exit 1; done

$(AUDIT)/installed: pyproject.toml | $(UV)
	$(UV) venv --quiet --clear --python $(BIN)/python $(AUDIT)
	$(UV) pip install --quiet --python $(AUDIT)/bin/python --group audit
	@touch $@

# Writes the locks anew, with the newest versions that pyproject.toml allows. The extra's first: it is the one that wants
# older versions of what all have, and all are to have the same.
lock: $(UV)
	$(COMPILE) --extra ray --extra openvino-int8 --output-file requirements/openvino.lock
	$(COMPILE) --extra clip --extra notices --extra nsfw --extra ray --extra otel --extra postgres --constraint requirements/openvino.lock --output-file requirements/run.lock
	$(COMPILE) --extra clip --extra notices --extra nsfw --extra otel --extra postgres --constraint requirements/openvino.lock --output-file requirements/serve.lock
	$(COMPILE) --extra notices --extra nsfw --extra openvino --extra otel --extra postgres --constraint requirements/openvino.lock --output-file requirements/serve-converted.lock
	$(COMPILE) --group dev --extra age --extra calibrate --extra nsfw --extra nsfwjs --extra ray --extra openvino-int8 --extra s3 --extra sftp --extra train \
		--constraint requirements/openvino.lock --output-file requirements/dev.lock

clean:
	rm -rf $(VENV) $(PARITY) $(AUDIT) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

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
