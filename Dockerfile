# The app for anybody: public mode, an unprivileged user, and nothing written but below /app/runs.
#
#     docker build -t adversarial-lab .                              # CPU
#     docker build --build-arg TORCH=cu126 -t adversarial-lab .      # CUDA 12.6: run it with --gpus all
#     docker run --read-only --tmpfs /tmp -v lab:/app/runs -p 8501:8501 -e ADVCORE_HOST_TOKEN=SECRET adversarial-lab
FROM python:3.12-slim

# One of the indexes of https://download.pytorch.org/whl: cpu, cu126, cu128, …
ARG TORCH=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

WORKDIR /app
COPY requirements*.txt ./
RUN pip install --index-url https://download.pytorch.org/whl/${TORCH} torch torchvision && pip install -r requirements.txt
COPY . /source
RUN pip install --no-deps /source && rm -rf /source requirements*.txt \
    && useradd --uid 1000 --home-dir /app lab && mkdir runs && chown lab runs

# What the app keeps, what it is given, and the caches of the libraries it uses.
ENV ADVCORE_PUBLIC=1 ADVCORE_RUNS=/app/runs ADVCORE_DATA=/app/runs/data XDG_CACHE_HOME=/app/runs/.cache PYTHONDONTWRITEBYTECODE=1
USER lab
VOLUME /app/runs
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
CMD ["adversarial-lab", "--address", "0.0.0.0", "--port", "8501"]
