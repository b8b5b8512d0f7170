# medprism on the CPU, every package with the hash that locks/requirements.txt names.
#   docker build -t medprism .
#   docker run --rm -v "$PWD:/data" medprism predict scan.png -o mask.png --classes polyp
#   docker run --rm -p 127.0.0.1:8765:8765 -v "$PWD:/data" medprism \
#     annotate . --host 0.0.0.0 --no-browser --token A-LONG-TOKEN-OF-YOUR-OWN
FROM python:3.11-slim

ENV OMP_WAIT_POLICY=passive \
    PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib

WORKDIR /opt/medprism
COPY locks/requirements.txt locks/requirements.txt
# torch's line has the hashes of both indexes; the CPU wheel is the one without gigabytes of CUDA.
RUN pip install --require-hashes --extra-index-url https://download.pytorch.org/whl/cpu \
    -r locks/requirements.txt

COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip install --no-deps --no-build-isolation . && medprism doctor

# Nobody in particular: what is mounted must be writable for the user given with `docker run -u`.
RUN useradd --create-home --uid 1000 medprism
USER medprism
WORKDIR /data
ENTRYPOINT ["medprism"]
CMD ["--help"]
