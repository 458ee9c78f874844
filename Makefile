# `make` lists what there is. A new tier of tests is one word in TIERS and one target below.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Where rustup puts cargo; a shell that was opened before does not know yet.
export PATH := $(HOME)/.cargo/bin:$(PATH)

LOG := target/test.log

# In this order; each runs even where one before it failed. Python and Java come early: the tests of the core compare all languages that are built.
TIERS := test-format test-lint test-python test-java test-docs test-rust test-interleave test-c test-cpp test-bench

.PHONY: help setup build test $(TIERS) ladder soak docs demo bench bench-all install clean

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z -]+:.*## / { printf "%-20s %s\n", $$1, $$2 }' Makefile

setup: ## Installs what the tests need and this machine lacks
	@scripts/setup.sh

build: ## Builds the library as it is shipped
	cargo build --locked --release

test: setup ## Runs every test; the last line says how many passed, failed and were skipped
	@mkdir -p $(dir $(LOG)) && : > $(LOG)
	@for tier in $(TIERS); do \
	    { echo "== $$tier"; AHEAD=yes $(MAKE) $$tier 2>&1 || echo "== $$tier failed"; } | tee -a $(LOG); \
	done
	@scripts/tally.sh $(LOG)

test-format: ## Compares the layout of the code with rustfmt's
	cargo fmt --check

test-lint: ## Runs clippy; a warning is an error
	cargo clippy --locked --all-targets -- -D warnings

test-rust: ## Runs the tests of the core, two programs beside each other
	@scripts/beside.py

test-interleave: ## Steps a few threads through the engine in many orders
	@scripts/interleave.sh --show-output

test-c: ## Runs the conformance scripts in C against the installed library
	@scripts/test-bindings.sh c

test-cpp: ## Builds the C++ tests against the installed library and runs them with ctest
	@scripts/test-bindings.sh cpp

test-python: ## Builds the wheel, installs it in target/venv and runs the tests of Python
	@scripts/test-bindings.sh python

test-java: ## Builds the jar and runs the tests of Java
	@scripts/test-bindings.sh java

test-docs: ## Builds the book; a warning is an error
	@scripts/docs.sh --test

# After the core's tests, which build our side of it.
test-bench: ## Runs the tests of the bench itself
	@scripts/bench.sh test

# How long `make ladder` looks: make ladder SECONDS=3600
SECONDS ?= 600

ladder: setup ## Looks for failures with fresh seeds for SECONDS
	@scripts/ladder.sh $(SECONDS)

soak: setup ## The same at the sizes of a release: days
	@scripts/ladder.sh --soak

docs: ## Makes a book of docs/ in target/book
	@scripts/docs.sh

# Questions of docs/BENCHMARKS.md: make bench QUESTION=power-16,window
export QUESTION

bench: ## Measures us and the peers that matter most in turn, and prints what holds
	@scripts/bench.sh first

bench-all: ## The same with all peers and questions
	@scripts/bench.sh all

demo install: ## Runs scripts/demo.sh or install.sh
	@if [ -x scripts/$@.sh ]; then \
	    scripts/$@.sh; \
	else \
	    echo "make $@: there is no scripts/$@.sh yet" >&2; exit 1; \
	fi

clean: ## Removes what was built
	cargo clean
