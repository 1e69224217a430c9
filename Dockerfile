# Images of Pictwarden, for amd64 and arm64: `docker build --target TARGET .` (docs/install-compose.md).
#
#   cpu         one process without torch: the preset nsfw
#   cpu-torch   one process with torch's CPU build: every preset but horde and two-step; `make pin-images` comes first
#   cuda        one process for an NVIDIA GPU
#   ray         Ray Serve with torch's CUDA build, for one machine or a cluster
#
# Every package has the version and the hash of a lock in requirements/.

# `make pin-images` puts the digest behind this name.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# What builds, and is in no image: uv, and what builds the wheel of Pictwarden. ----------------------------------------
FROM ${PYTHON_IMAGE} AS build
ARG PYTHON_IMAGE
RUN case "$PYTHON_IMAGE" in \
        *@sha256:*) ;; \
        *) echo "WARNING: $PYTHON_IMAGE may be another image tomorrow: \`make pin-images\` pins it" >&2 ;; \
    esac
# strip, and tini for the target ray. Debian's mirrors have one version at a time, so that a pinned one would soon be gone.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils tini \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY requirements/uv.lock requirements/
RUN python3 -m venv uv \
    && uv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/uv.lock
ENV PATH=/build/uv/bin:$PATH \
    VIRTUAL_ENV=/opt/pictwarden \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_REQUIRE_HASHES=1
RUN uv venv --python python3 "$VIRTUAL_ENV"
COPY tools/image/slim.sh tools/image/
COPY pyproject.toml ./

# Pictwarden itself: a small layer above libraries that change with the locks alone.
FROM build AS application
COPY requirements/serve-converted.lock requirements/
RUN uv pip install --group build --constraint requirements/serve-converted.lock
COPY README.md LICENSE ./
COPY serve_app serve_app
COPY deployments deployments
# hadolint ignore=DL3059
RUN UV_REQUIRE_HASHES=0 uv pip install --prefix /application --no-deps --no-build-isolation .

# What every image has. ------------------------------------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS runtime
ARG PYTHON_IMAGE
LABEL org.opencontainers.image.title=Pictwarden \
      org.opencontainers.image.base.name=$PYTHON_IMAGE \
      org.opencontainers.image.description="Scans every picture before a Fediverse instance stores it" \
      org.opencontainers.image.licenses=Apache-2.0
# A volume that is mounted there for the first time takes over owner and mode: nobody else reads ledger and secret.
RUN groupadd --gid 10001 pictwarden \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/cache/pictwarden --shell /usr/sbin/nologin \
        pictwarden \
    && install --directory --mode 0700 --owner 10001 --group 10001 /var/lib/pictwarden /var/cache/pictwarden \
    && install --directory /etc/pictwarden
# The root is read-only: the ledger, the secret and the URL are in the first folder, downloaded models in the second.
ENV PATH=/opt/pictwarden/bin:$PATH \
    STATE_DIRECTORY=/var/lib/pictwarden \
    HOME=/var/cache/pictwarden \
    XDG_CACHE_HOME=/var/cache/pictwarden \
    HF_HOME=/var/cache/pictwarden/huggingface \
    TORCHINDUCTOR_CACHE_DIR=/var/cache/pictwarden/torch \
    PYTHONDONTWRITEBYTECODE=1
# Where relative paths of policies and models in a configuration begin.
WORKDIR /etc/pictwarden
USER 10001:10001
EXPOSE 14051
# The service answers the pictures inside and ends: one process within 20 s, Ray Serve within 55 s.
STOPSIGNAL SIGTERM
# The first start may download a model.
HEALTHCHECK --interval=10s --timeout=5s --start-period=15m CMD ["python", "-m", "serve_app.cli.health"]

# The images, each after its libraries. --------------------------------------------------------------------------------
FROM build AS libraries-cpu
COPY requirements/serve-converted.lock requirements/
RUN uv pip install -r pyproject.toml --extra notices --extra nsfw --extra otel --extra postgres \
        --constraint requirements/serve-converted.lock \
    && sh tools/image/slim.sh "$VIRTUAL_ENV" \
    && "$VIRTUAL_ENV/bin/python" -B -c "import onnxruntime"

FROM runtime AS cpu
COPY --from=libraries-cpu /opt/pictwarden /opt/pictwarden
COPY --from=application /application /opt/pictwarden
ENTRYPOINT ["pictwarden"]
# The other targets have every preset's models, and begin with the default one.
CMD ["serve", "--host", "0.0.0.0", "--preset", "nsfw"]

FROM build AS libraries-cpu-torch
# The index of torch's CPU builds: on amd64 the default index has builds with 3 GB of CUDA.
ARG TORCH_CPU_INDEX=
COPY requirements/ requirements/
# Both locks have one version of torch. Left out is what CUDA builds alone need, and what builds a wheel. A requirement of a
# lock ends with the line that no backslash continues.
RUN torch="$(grep -oE '^torch==[0-9.]+' requirements/serve.lock)"; \
    if ! { test -n "$TORCH_CPU_INDEX" && grep -qF "$torch+cpu " requirements/torch-cpu.lock; }; then \
        echo "run \`make pin-images\` first: $torch for CPUs comes from an index of its own" >&2; exit 1; \
    fi; \
    sed -E -e '/^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z]+)==/,/[^\\]$/d' \
        -e '/^(editables|hatchling|pathspec|pluggy|tomlkit|trove-classifiers)==/,/[^\\]$/d' requirements/serve.lock \
        > rest.lock \
    && uv pip install --no-deps --default-index "$TORCH_CPU_INDEX" -r requirements/torch-cpu.lock \
    && uv pip install --no-deps -r rest.lock \
    && sh tools/image/slim.sh "$VIRTUAL_ENV" \
    && "$VIRTUAL_ENV/bin/python" -B -c "import onnxruntime, open_clip"

FROM runtime AS cpu-torch
COPY --from=libraries-cpu-torch /opt/pictwarden /opt/pictwarden
COPY --from=application /application /opt/pictwarden
ENTRYPOINT ["pictwarden"]
CMD ["serve", "--host", "0.0.0.0"]

FROM build AS libraries-cuda
COPY requirements/serve.lock requirements/
RUN uv pip install -r pyproject.toml --extra clip --extra notices --extra nsfw --extra otel --extra postgres \
        --constraint requirements/serve.lock \
    && sh tools/image/slim.sh "$VIRTUAL_ENV" \
    && "$VIRTUAL_ENV/bin/python" -B -c "import onnxruntime, open_clip"

FROM runtime AS cuda
# Of the driver's libraries, those that compute.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=libraries-cuda /opt/pictwarden /opt/pictwarden
COPY --from=application /application /opt/pictwarden
ENTRYPOINT ["pictwarden"]
CMD ["serve", "--host", "0.0.0.0"]

FROM build AS libraries-ray
COPY requirements/run.lock requirements/
RUN uv pip install -r pyproject.toml --extra clip --extra notices --extra nsfw --extra otel --extra postgres \
        --extra ray --constraint requirements/run.lock \
    && sh tools/image/slim.sh "$VIRTUAL_ENV" \
    && "$VIRTUAL_ENV/bin/python" -B -c "import onnxruntime, open_clip, ray.serve" \
    && install /usr/bin/tini-static "$VIRTUAL_ENV/bin/tini"

FROM runtime AS ray
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=libraries-ray /opt/pictwarden /opt/pictwarden
COPY --from=application /application /opt/pictwarden
# A cluster runs `tini -- ray start` in its place: the decode workers of a replica that was killed become children of the
# container's first process, and `ray start` does not reap them.
CMD ["python", "-m", "deployments.run", "--host", "0.0.0.0"]

# Without --target, `docker build` makes the smallest one.
FROM cpu AS default
