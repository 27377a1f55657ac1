# ganatomy in a container, for a CPU by default:
#   docker build -t ganatomy .
#   docker run --rm -v "$PWD:/data" --user "$(id -u):$(id -g)" ganatomy prepare RAW --modality mammogram --out STORE
# and for an NVIDIA GPU, where `docker run` takes --gpus all as well:
#   docker build -t ganatomy:cuda --build-arg BASE=nvidia/cuda:13.0.1-base-ubuntu24.04 --build-arg TORCH_BACKEND=cu130 .
# The image contains the package with some extras and no data, and runs without root's rights. What listens in it, such as
# `evaluate --serve`, listens on the loopback address alone: `--network host` shows it to the browser of this machine.

ARG BASE=ubuntu:24.04

FROM ghcr.io/astral-sh/uv:0.9.7 AS uv

FROM ${BASE}
ARG TORCH_BACKEND=cpu
ARG EXTRAS=umap,parquet,pacs,idc
ENV PYTHONUNBUFFERED=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_INSTALL_DIR=/opt/python \
    UV_PYTHON_PREFERENCE=only-managed \
    UV_TORCH_BACKEND=${TORCH_BACKEND} \
    PATH=/opt/ganatomy/bin:$PATH
COPY --from=uv /uv /usr/local/bin/uv

WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
# The base image chooses the versions of its packages.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && uv venv --python 3.12 /opt/ganatomy \
    && uv pip install --no-cache --python /opt/ganatomy/bin/python "/build[${EXTRAS}]" \
    && ganatomy --help > /dev/null \
    && groupadd --gid 10001 ganatomy \
    && useradd --uid 10001 --gid ganatomy --create-home ganatomy \
    && install --directory --owner ganatomy --group ganatomy /data

USER 10001:10001
WORKDIR /data
VOLUME /data
ENTRYPOINT ["ganatomy"]
CMD ["--help"]
