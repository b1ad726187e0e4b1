# tidegate: what a newcomer and CI type. On Debian 12, as root, from a clean clone:
#
#   make demo       install what is missing, build, run the lab: three namespaces, attacks, a table of what happened
#   make test       install what is missing, fetch the test kernels, run every test, the end-to-end ones in VMs included
#   make bench      the gate beside no queue, a loop that accepts everything, and Suricata; bench-quick: some minutes of it
#
# Everything else here is a part of these two, or what a developer types in between.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh
MAKEFLAGS += --no-builtin-rules

PREFIX ?= /usr/local
DESTDIR ?=
# rustup's cargo before the distribution's, which is too old on Debian 12.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH):/usr/sbin:/sbin
export DEBIAN_FRONTEND := noninteractive
CARGO := cargo
RUST_MIN := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

PACKAGES_BUILD := gcc libc6-dev pkg-config libmnl-dev libnftnl-dev
PACKAGES_RUN := iproute2 nftables
PACKAGES_TEST := binutils busybox-static conntrack cpio curl iperf3 iptables kmod netbase qemu-system-x86 util-linux \
	valgrind xz-utils
PACKAGES_BENCH := debootstrap iperf3 iptables

.PHONY: help
help:
	@echo 'make demo          build and show tidegate at work in three network namespaces'
	@echo 'make test          all tests, with the end-to-end scenarios on this kernel and in VMs'
	@echo 'make bench         speed, latency and memory beside Suricata; about two hours. Rules: TIDEGATE_RULES=FILE'
	@echo 'make bench-quick   the same in short, about a quarter of an hour'
	@echo 'make guard         instructions that each stage of a packet takes, against those that it took'
	@echo 'make check         formatting and lints'
	@echo 'make build         release build, target/release/tidegate'
	@echo 'make install       binary, rules, nftables examples and a systemd unit under PREFIX=$(PREFIX) (DESTDIR is honoured)'
	@echo 'make deps          install the Debian packages that the above need'
	@echo 'make test-kernels  fetch the kernels that the tests boot'
	@echo 'make clean         remove what was built'

.PHONY: demo
demo: deps-build build
	./target/release/tidegate lab

.PHONY: test
test: deps rust test-kernels
	TIDEGATE_VM=require $(CARGO) test --no-fail-fast

# Suricata comes into target/bench. Where it cannot be had, the table says that it is missing, and the rest is measured.
.PHONY: bench bench-quick
bench: deps-bench rust
	tests/bench/fetch-suricata || true
	$(CARGO) bench --bench gate

bench-quick: deps-bench rust
	tests/bench/fetch-suricata || true
	$(CARGO) bench --bench gate -- quick

# Counts of instructions do not depend on the machine's mood. TIDEGATE_BLESS=1 takes the present ones for the standard.
.PHONY: guard
guard: deps rust
	$(CARGO) bench --bench micro -- guard

.PHONY: check
check: rust
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings

.PHONY: build
build: rust
	$(CARGO) build --release

.PHONY: install
install: build
	install -D -m 0755 target/release/tidegate $(DESTDIR)$(PREFIX)/sbin/tidegate
	for file in rules/* nft/*; do \
		[ ! -f "$$file" ] || install -D -m 0644 "$$file" "$(DESTDIR)$(PREFIX)/share/tidegate/$$file" || exit 1; \
	done
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's,/usr/local,$(PREFIX),' docs/tidegate.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/tidegate.service
	[ -e $(DESTDIR)/etc/tidegate/tidegate.yaml ] || \
		install -D -m 0644 docs/tidegate.yaml $(DESTDIR)/etc/tidegate/tidegate.yaml

.PHONY: clean
clean:
	$(CARGO) clean

# Packages are installed only where one is missing, so that no root is needed on a machine that has them.
define install_missing
	@missing=; \
	for package in $(1); do \
		status=$$(dpkg-query -W -f '$${db:Status-Status}' "$$package" 2>/dev/null || true); \
		[ "$$status" = installed ] || missing="$$missing $$package"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	echo "deps: installing$$missing"; \
	if [ "$$(id -u)" != 0 ]; then echo "deps: root is needed for: apt-get install$$missing" >&2; exit 1; fi; \
	apt-get -q update && apt-get -q install -y --no-install-recommends $$missing
endef

.PHONY: deps
deps:
	$(call install_missing,$(PACKAGES_BUILD) $(PACKAGES_RUN) $(PACKAGES_TEST))

.PHONY: deps-bench
deps-bench:
	$(call install_missing,$(PACKAGES_BUILD) $(PACKAGES_RUN) $(PACKAGES_BENCH))

.PHONY: deps-build
deps-build:
	$(call install_missing,$(PACKAGES_BUILD) $(PACKAGES_RUN))

.PHONY: test-kernels
test-kernels:
	tests/vm/fetch-kernels

# A Rust that is absent or too old is named here, and not by a page of compiler errors.
.PHONY: rust
rust:
	@have=$$($(CARGO) --version 2>/dev/null | cut -d' ' -f2); \
	oldest=$$(printf '%s\n' "$(RUST_MIN)" "$$have" | sort -V | head -n 1); \
	if [ -z "$$have" ]; then echo 'rust: cargo is not installed' >&2; \
	elif [ "$$oldest" != "$(RUST_MIN)" ]; then echo "rust: cargo $$have is too old" >&2; \
	else exit 0; fi; \
	echo 'rust: tidegate needs Rust $(RUST_MIN) or newer, and Debian 12 has an older one. Get it with rustup:' >&2; \
	echo '    rustup update stable                      where rustup is there already, otherwise' >&2; \
	echo "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal -c clippy,rustfmt" >&2; \
	echo 'and run make again. (https://rustup.rs says more.)' >&2; \
	exit 1
