# docker build -t segtrain .
# docker run --rm --gpus all --shm-size=2g -v "$PWD/runs:/segtrain/runs" segtrain
# The same image runs with and without a GPU: torch's wheels bring CUDA, the host brings the driver. Without CUDA it is smaller:
# docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu -t segtrain .
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /segtrain
COPY requirements.txt requirements-dev.txt constraints.txt ./
ARG TORCH_INDEX=""
RUN pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r requirements-dev.txt

# Any user may run the container (docker run --user "$(id -u):$(id -g)") and write where libraries keep their caches.
ENV HOME=/home/segtrain
RUN mkdir -p /home/segtrain data runs && chmod 777 /home/segtrain data runs

COPY . .
# What config.yml trains; a folder mounted over data/ takes its place.
RUN python -m segtrain demo data/street
CMD ["python", "train.py"]
