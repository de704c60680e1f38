# What a newcomer runs. `make demo` and `make test` set up all they need on a fresh Debian with Rust.

CARGO ?= cargo
# One target directory outside of the checkout, so that a fresh clone does not build DataFusion again.
ifdef CI
export CARGO_TARGET_DIR ?= $(HOME)/.cache/squelch-target
endif

.PHONY: demo story test lint bench evaluate ablate side-by-side

# Where the labelled outages and their scoring script lie; they are not part of the project.
OUTAGES ?= ../shared

demo: ## an outage at night, live: nats-server, squelch and its pages, until Ctrl-C
	@./scripts/test-tools curl nats-server
	@$(CARGO) build --quiet
	@./scripts/demo $${CARGO_TARGET_DIR:-target}/debug/squelch

story: ## the same outage without a server: what it found and what it spared you
	@$(CARGO) run --quiet -- demo

test: lint ## formatting, clippy, all tests against a real nats-server
	./scripts/test-tools
	$(CARGO) test

lint:
	$(CARGO) fmt --check
	./scripts/one-build
	$(CARGO) clippy --all-targets -- --deny warnings

bench: ## speed, as ratios within one run; builds in release (half an hour from nothing on two cores)
	./scripts/test-tools nats-server
	$(CARGO) bench --bench squelch

evaluate: ## incidents against labelled outages; needs them at $(OUTAGES), builds in release
	@[ -f $(OUTAGES)/eval/evaluate.py ] || { echo "no labelled outages at $(OUTAGES): set OUTAGES=path" >&2; exit 1; }
	$(CARGO) build --release
	@for set in fixtures/eval/*/; do \
		name=$$(basename $$set); \
		python3 $(OUTAGES)/eval/evaluate.py --squelch $${CARGO_TARGET_DIR:-target}/release/squelch \
			--data $(OUTAGES)/data/$$name --rules $$set/rules --config $$set/squelch.yaml || exit 1; \
		echo "$$name with packs/generic:"; \
		python3 $(OUTAGES)/eval/evaluate.py --squelch $${CARGO_TARGET_DIR:-target}/release/squelch \
			--data $(OUTAGES)/data/$$name --rules packs/generic --config $$set/generic.yaml | tail -2 || exit 1; \
	done

ablate: ## what each part of the correlation is worth on the labelled outages; needs them at $(OUTAGES), builds in release
	@[ -f $(OUTAGES)/eval/evaluate.py ] || { echo "no labelled outages at $(OUTAGES): set OUTAGES=path" >&2; exit 1; }
	$(CARGO) build --release
	@./scripts/ablate --squelch $${CARGO_TARGET_DIR:-target}/release/squelch --evaluate $(OUTAGES)/eval/evaluate.py --data $(OUTAGES)/data

side-by-side: ## the labelled outages' alerts through Alertmanager and through squelch; needs them at $(OUTAGES), builds in release
	@[ -f $(OUTAGES)/eval/evaluate.py ] || { echo "no labelled outages at $(OUTAGES): set OUTAGES=path" >&2; exit 1; }
	$(CARGO) build --release
	@alertmanager=$$(./scripts/alertmanager) || exit 1; \
	for set in fixtures/eval/*/; do \
		name=$$(basename $$set); \
		./scripts/side-by-side --squelch $${CARGO_TARGET_DIR:-target}/release/squelch --alertmanager $$alertmanager \
			--evaluate $(OUTAGES)/eval/evaluate.py --data $(OUTAGES)/data/$$name --rules $$set/rules --config $$set/squelch.yaml || exit 1; \
	done
