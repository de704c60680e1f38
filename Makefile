# What a newcomer runs. `make demo` and `make test` set up all they need on a fresh Debian with Rust.

CARGO ?= cargo
# One target directory outside of the checkout, so that a fresh clone does not build DataFusion again.
ifdef CI
export CARGO_TARGET_DIR ?= $(HOME)/.cache/squelch-target
endif

.PHONY: demo test lint bench evaluate nats-server

demo: ## an outage at night, from events to one explained incident
	@$(CARGO) run --quiet -- demo

test: lint nats-server ## formatting, clippy, all tests against a real nats-server
	$(CARGO) test

lint:
	$(CARGO) fmt --check
	./scripts/one-build
	$(CARGO) clippy --all-targets -- --deny warnings

bench: nats-server ## speed, as ratios within one run; builds in release (half an hour from nothing on two cores)
	$(CARGO) bench --bench squelch

nats-server:
	@./scripts/nats-server
