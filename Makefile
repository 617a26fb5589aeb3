# run · test · check · bench · image: five words, and each sets up what it needs. Debian 12 or newer.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

ARGS ?=
VENV := .venv
LOG := build/setup.log
LOCKS := requirements.lock requirements-dev.lock

APT := ca-certificates # Python and Go packages come over TLS
APT += python3         # 3.11 or newer
APT += python3-venv    # the interpreter's environment in .venv
APT += libbpf1         # loads the BPF programs; the agent binds it with ctypes
APT += libbpf-dev      # bpf_helpers.h, bpf_core_read.h and bpf_tracing.h for bpf/
APT += clang           # compiles bpf/
APT += llvm            # llvm-strip: takes DWARF out of the objects, keeps BTF
APT += clang-format    # `make check`
APT += etcd-server     # the store of the tests' kube-apiserver
APT += openssl         # that server's key for service accounts
APT += qemu-system-x86 # machines with Debian's kernels for the kernel tests; 43 MB, 80 with what it needs
APT += busybox-static  # their initrd

OBJECTS := $(patsubst %.c,%.o,$(wildcard bpf/*.bpf.c))
CLANG := clang
BPF_FLAGS := -O2 -g -Wall -Werror -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 -I bpf -I /usr/include/x86_64-linux-gnu
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps

# $(call step,what,commands): one line for people, the rest into the log, whose end is shown on failure.
# The commands are joined by &&: left of || the shell ignores its -e.
define step
mkdir -p build
echo "$(1)"
{ echo "== $(1)" && $(2); } >>$(LOG) 2>&1 || { tail -n 30 $(LOG); echo "failed: $(1); all of it: $(LOG)"; exit 1; } >&2
endef

.PHONY: help run test test-kernels check bench image setup apt objects peers kernels lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

run: setup ## the agent, in this terminal (needs root); ARGS= goes to it
	@exec $(VENV)/bin/podwitness run --config config/default.yaml $(ARGS)

test: setup peers kernels ## all tests, on real servers, this kernel and Debian's; ARGS= goes to pytest
	@$(VENV)/bin/python -m pytest $(ARGS)

test-kernels: setup kernels ## the kernel tests on Debian's 6.1 and 6.12, in QEMU; ARGS= goes to their pytest
	@KERNEL_TESTS="$${ARGS:-}" $(VENV)/bin/python -m pytest tests/machines

check: setup ## style, types, layers
	@$(VENV)/bin/ruff check --quiet .
	$(VENV)/bin/ruff format --check --quiet . || { echo 'not formatted: $(VENV)/bin/ruff format .'; exit 1; }
	$(VENV)/bin/mypy --no-error-summary
	$(VENV)/bin/lint-imports --no-cache >build/layers.log || { cat build/layers.log; exit 1; }
	clang-format --dry-run -Werror bpf/*.c bpf/*.h
	$(VENV)/bin/python bpf/words.py --check
	$(VENV)/bin/python bpf/hooks.py --check
	$(no-twins)
	echo 'check: style, types, layers and formats are in order'

# What others pay to see the same: 4 MB and LLVM, and bcc's own tools, 3 MB.
bench: APT += bpftrace bpfcc-tools
bench: setup ## what it costs; writes build/bench.json
	@$(VENV)/bin/python -m tests.bench $(ARGS)

image: ## the container image podwitness:dev; needs a Docker engine
	@docker info >/dev/null 2>&1 || { echo 'image: no Docker engine answers here; start one, or set DOCKER_HOST'; exit 1; } >&2
	docker build --tag podwitness:dev $(ARGS) .

setup: apt $(VENV)/.installed objects ## what all of them need; the others call it

apt:
	@missing=$$(comm -13 <(dpkg-query -W -f '$${db:Status-Status} $${Package}\n' | sed -n 's/^installed //p' | sort) <(printf '%s\n' $(APT) | sort))
	[ -n "$$missing" ] || exit 0
	missing=$$(echo $$missing)
	if [ "$$(id -u)" != 0 ]; then
		echo "setup: these packages are missing, and installing them needs root: apt-get install $$missing" >&2
		exit 1
	fi
	export DEBIAN_FRONTEND=noninteractive
	[[ " $$missing " == *" etcd-server "* ]] && etcd=new || etcd=
	# The package lists are fetched only where they do not know a package, or name one that is gone.
	$(call step,installing $$missing,apt-get install -y --no-install-recommends $$missing || { apt-get update && apt-get install -y --no-install-recommends $$missing; })
	# Debian starts what it installs; the tests run an etcd of their own, and only while they last.
	[ -z "$$etcd" ] || ! systemctl is-active --quiet etcd 2>/dev/null || systemctl disable --now --quiet etcd

$(VENV)/.installed: $(LOCKS) pyproject.toml | apt
	@$(call step,installing Python packages into $(VENV),/usr/bin/python3 -m venv $(VENV) && $(PIP) --require-hashes -r requirements.lock -r requirements-dev.lock && $(PIP) --no-build-isolation --editable .)
	touch $@

objects: $(OBJECTS)

# Compiled elsewhere, then moved, so that an object is whole or not there, and two at once do no harm.
bpf/%.bpf.o: bpf/%.bpf.c Makefile | apt
	@$(call step,compiling $<,$(CLANG) $(BPF_FLAGS) -MMD -MP -MT $@ -MF build/$*.$$$$.d -c $< -o build/$*.$$$$.o && llvm-strip -g build/$*.$$$$.o && mv build/$*.$$$$.d bpf/$*.bpf.d && mv build/$*.$$$$.o $@)

-include $(wildcard bpf/*.d)

peers: $(VENV)/.installed
	@$(VENV)/bin/python tests/peers/builds.py || [ "$${REQUIRE_PEERS:-}" != 1 ]

kernels: $(VENV)/.installed
	@$(VENV)/bin/python -m tests.machines.kernels || [ "$${REQUIRE_KERNEL:-}" != 1 ]

lock:
	@$(call step,resolving Python packages,$(resolve))

clean:
	@rm -rf build $(VENV) bpf/*.o bpf/*.d

# A layout or a list is written once: no comment may ask people to keep two alike.
no-twins = if grep -rniE --include='*.py' --include='*.[ch]' --include='*.yaml' 'keep .{0,20}in sync' exporter bpf tests config deploy; \
	then echo 'written twice; write it once'; exit 1; fi

# Newest versions that pyproject.toml allows, each with the checksums of all its files.
resolve = /usr/bin/python3 -m venv build/pip-tools && build/pip-tools/bin/pip install --quiet pip-tools==7.6.2 && \
	rm -f $(LOCKS) && export CUSTOM_COMPILE_COMMAND='make lock' && \
	compile() { build/pip-tools/bin/pip-compile --quiet --no-config --generate-hashes --strip-extras --allow-unsafe --no-emit-options \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --annotation-style=line "$$@"; } && \
	compile --output-file requirements.lock pyproject.toml && \
	build/pip-tools/bin/python -c '$(development)' >build/development.in && \
	compile --output-file requirements-dev.lock build/development.in
development = import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); print("-c ../requirements.lock", "editables", *p["dependency-groups"]["dev"], *p["build-system"]["requires"], sep="\n")
