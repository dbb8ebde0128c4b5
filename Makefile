# "make help" lists what there is.

# That of .cargo/config.toml.
TARGET := x86_64-unknown-linux-gnu
C_FILES := $(wildcard bpf/*.[ch] tests/programs/*.[ch] tests/bench/*.[ch])
SHELL_SCRIPTS = $(shell grep -rslE '^\#!/bin/(ba)?sh' packaging tests .ci)
MAN_PAGES := $(wildcard man/*.[1-9])

# So that a failure on the left of a pipe is one.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec

# For "make test" and "make bench": the kernels and the tests to run; tests/run says what there is.
export KERNELS TESTS

# The targets of one call are made in the order given: cargo uses all processors by itself.
.NOTPARALLEL:
.PHONY: build help setup check test soak bench demo deb install clean

build: ## build the daemon (this is what "make" does)
	cargo build --release --locked

help: ## list the targets
	@sed -nE 's/^([a-z]+):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## install what the targets below need (packages with apt, as root)
	packaging/setup

check: ## run the checks of format and style, and the unit tests
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items
	clang-format-19 --dry-run -Werror $(C_FILES)
	shellcheck -x -P SCRIPTDIR $(SHELL_SCRIPTS)
	mandoc -T lint -W warning $(MAN_PAGES)
	mkdir -p target/tests
	cargo test --locked 2>&1 | tee target/tests/unit.log

test: setup check deb ## all of "check", then the tests in guests; KERNELS= and TESTS= select
	tests/run

soak: setup deb ## an hour of mixed load with faults at random; TRACELEFT_SOAK_SECONDS=, TRACELEFT_SOAK_SEED=
	export TRACELEFT_SOAK_SECONDS=$${TRACELEFT_SOAK_SECONDS:-3600}; \
	LIMIT=$$((TRACELEFT_SOAK_SECONDS + 1800)) tests/run "$${KERNELS:-6.1}" test_soak

bench: setup deb ## what it costs, beside others of its kind, in instructions: target/bench/report.html; KERNELS= selects
	tests/bench/run

demo: setup deb ## boot a guest and show the journal of a watched nginx
	tests/demo

deb: ## build the Debian package, target/debian/traceleft_*.deb
	rm -f target/debian/traceleft_*.deb
	target/tools/bin/cargo-deb --locked --target $(TARGET) --output target/debian/
	packaging/compare-install target/debian/traceleft_*.deb

install: ## copy what "make" has built, and its files, below DESTDIR=
	install -D -m 755 -t $(DESTDIR)/usr/sbin target/$(TARGET)/release/traceleftd
	install -D -m 644 -t $(DESTDIR)/usr/lib/systemd/system units/*.service
	install -D -m 644 -t $(DESTDIR)/usr/lib/systemd/catalog config/traceleft.catalog
	install -D -m 644 -t $(DESTDIR)/usr/share/dbus-1/system.d dbus/org.traceleft1.conf
	install -D -m 644 -t $(DESTDIR)/usr/share/dbus-1/system-services dbus/org.traceleft1.service
	install -D -m 644 -t $(DESTDIR)/usr/share/dbus-1/interfaces dbus/org.traceleft1.xml
	install -D -m 644 -t $(DESTDIR)/etc/traceleft config/traceleftd.toml
	install -D -m 644 -t $(DESTDIR)/etc/traceleft/policy.d config/policy.d/README
	install -D -m 644 -t $(DESTDIR)/usr/share/doc/traceleft/examples config/nginx.toml.example
	for n in 5 7 8; do \
		install -D -m 644 -t $(DESTDIR)/usr/share/man/man$$n man/*.$$n || exit; \
	done

clean: ## remove all that was built, tools and guests too
	cargo clean
