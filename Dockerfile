# The image of the agent. `make image` builds it as podwitness:dev.

FROM debian:bookworm-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends \
    ca-certificates clang llvm libbpf-dev make python3 python3-venv
WORKDIR /src

# The Makefile alone knows how BPF programs are compiled. APT= : the packages are above, without those of the tests.
COPY Makefile ./
COPY bpf bpf
RUN make APT= objects

# Apart from our own code, so that a change of that fetches nothing anew. pip and the build tool stay outside of what
# is shipped; the tool comes with the linters because one locked list holds both.
COPY requirements.lock requirements-dev.lock ./
RUN python3 -m venv /tools && python3 -m venv --without-pip /opt/podwitness \
    && /tools/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements-dev.lock \
    && /tools/bin/pip --python /opt/podwitness/bin/python install --no-cache-dir --no-deps --require-hashes -r requirements.lock

# A wheel, not an editable install: the image has no /src.
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
RUN /tools/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel . \
    && /tools/bin/pip --python /opt/podwitness/bin/python install --no-cache-dir --no-deps /wheel/*.whl

FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates libbpf1 python3 \
    && rm -rf /var/lib/apt/lists/*
# The same path as in the build: a venv's scripts hold it.
COPY --from=build /opt/podwitness /opt/podwitness
COPY --from=build /src/bpf/*.bpf.o /src/bpf/LICENSE /usr/lib/podwitness/bpf/
# For volumes: the spool, and the files of `file` sinks. Nobody else has anything to read there.
RUN install -d -m 0700 /var/lib/podwitness /var/log/podwitness
# A log line is there when it is written, also when the next thing that happens is the end of the node.
ENV PYTHONUNBUFFERED=1
ENTRYPOINT ["/opt/podwitness/bin/podwitness"]
CMD ["run"]
