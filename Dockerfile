# The operator's image. Stages: dependencies (changes with the lock file only), project, and what
# is shipped: both laid over the base, without pip.
# `make build` needs no registry: it brings a base of its own (hack/README.md).
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS tools
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# One environment holds pip, the other is shipped without it.
RUN python3 -m venv /tools && python3 -m venv --without-pip /opt/venv

FROM tools AS dependencies
COPY requirements.lock ./
RUN /tools/bin/pip --python /opt/venv/bin/python install --require-hashes --only-binary :all: -r requirements.lock

FROM tools AS project
# The build backend, pinned and hashed as everything else: the developers' lock file names it, and
# says of each package which one wants it.
COPY requirements-dev.lock ./
RUN awk '/^[a-z]/ {if (wanted) printf "%s", block; block = ""; wanted = /^hatchling==/} \
         {block = block $0 "\n"} /# +(via )?hatchling$/ {wanted = 1} \
         END {if (wanted) printf "%s", block}' requirements-dev.lock > build.lock \
    && /tools/bin/pip install --require-hashes --only-binary :all: -r build.lock
COPY . .
RUN /tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /tools/bin/pip --python /opt/venv/bin/python install --no-deps --no-index --prefix /project /wheels/*.whl

FROM ${BASE}
LABEL org.opencontainers.image.title="etcd-operator" \
      org.opencontainers.image.licenses="Apache-2.0"
# Nothing is installed into a running operator.
RUN rm -rf /usr/share/python-wheels /usr/lib/python3*/ensurepip /usr/local/lib/python3*/ensurepip \
    /usr/local/lib/python3*/site-packages/pip* /usr/local/bin/pip*
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=project /project /opt/venv
# The root file system is read-only when it runs, so no bytecode is written and HOME is a place
# that may be mounted.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
USER 65532:65532
WORKDIR /
ENTRYPOINT ["python", "-m", "operator"]
CMD ["run"]
