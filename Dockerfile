# For GPU machines. Never built by us: no machine of ours has Docker or a GPU that Paddle can use. It is linted,
# and its steps are those of README.md, "On GPUs".
#
#   docker build --build-arg PADDLE_INDEX=<address> -t paddle_ground .
#   docker run --rm --gpus all --shm-size=8g -v "$PWD/runs:/app/runs" -v "$PWD/data:/app/data" paddle_ground \
#       paddle-ground train configs/qwen3_vl/2b_sft.yaml
#
# PADDLE_INDEX is Paddle's own package index for CUDA 12.6, as Paddle's installation guide gives it for pip (it ends in
# `stable/cu126/`). PyPI's paddlepaddle-gpu is too old for PaddleFormers.
FROM nvidia/cuda:12.6.3-cudnn-runtime-ubuntu22.04

ARG PADDLE_INDEX
ARG PADDLE_VERSION=3.3.1

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1 \
    VIRTUAL_ENV=/opt/venv \
    PATH=/opt/venv/bin:$PATH

# Ubuntu 22.04's own Python is 3.10. Paddle needs OpenMP. Versions are the distribution's.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv libgomp1 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY constraints.txt setup.cfg pyproject.toml README.md LICENSE ./
COPY paddle_ground paddle_ground
COPY configs configs
COPY tools tools

# Everything but Paddle first, so that Paddle finds what it needs already there, in the pinned versions.
RUN test -n "$PADDLE_INDEX" || { echo "give --build-arg PADDLE_INDEX=...: see the head of Dockerfile" >&2; exit 1; }
RUN python3 -m venv "$VIRTUAL_ENV" \
    && pip install -c constraints.txt pip setuptools wheel \
    && pip install -c constraints.txt --build-constraint constraints.txt -e '.[eval,serve]' \
    && pip install --index-url "$PADDLE_INDEX" "paddlepaddle-gpu==$PADDLE_VERSION"

# The caller's files in runs/ and data/ belong to whoever `docker run --user` names.
CMD ["paddle-ground", "doctor"]
