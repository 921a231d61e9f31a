# One command builds what is missing and runs everything: make test.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Which Kubernetes the end-to-end tests run: 1.34, 1.35 or 1.36.
K8S ?= 1.36
export K8S

# From which state of the repository an upgrade is tried: a commit; by default the last tag, or the last state.
FORMER ?=

# stage NAME,COMMAND: runs a stage of the tests and prints how long it took.
define stage
	@printf '\n=== %s\n' "$(1)"; start=$$(date +%s); $(2); \
	printf '=== %s: %d s\n' "$(1)" $$(( $$(date +%s) - start ))
endef

.PHONY: help
help: ## Say what there is
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

.PHONY: tools
tools: ## Check that Rust and Go are there
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust 1.95 or newer (https://rustup.rs)"; exit 1; }
	@cargo fmt --version >/dev/null 2>&1 || { echo "rustfmt is missing: rustup component add rustfmt"; exit 1; }
	@cargo clippy --version >/dev/null 2>&1 || { echo "clippy is missing: rustup component add clippy"; exit 1; }
	@[ -n "$${KUBEBUILDER_ASSETS:-}" ] || command -v go >/dev/null || { echo "go is missing: install Go 1.26 or newer" \
	    "(https://go.dev/dl), it builds the control plane of the end-to-end tests, helm and kubeconform"; exit 1; }
	@[ -n "$${CHROMIUM:-}" ] || command -v chromium chromium-browser google-chrome chrome >/dev/null || { echo "chromium is missing:" \
	    "install it (Debian: apt-get install chromium), it shows the page in its tests; or name another in CHROMIUM"; exit 1; }
	@command -v valgrind >/dev/null || { echo "valgrind is missing: install it (Debian: apt-get install valgrind)," \
	    "it counts what decisions cost"; exit 1; }
	@command -v promtool >/dev/null || { echo "prometheus is missing: install it (Debian: apt-get install prometheus)," \
	    "it scrapes testudo in a test, and promtool, which comes with it, tests the alerts"; exit 1; }
	@python3 -m pip --version >/dev/null 2>&1 || { echo "pip is missing: install Python 3 with pip (Debian: python3-pip)," \
	    "the schemas of the Kubernetes API are a package of it"; exit 1; }

.PHONY: build
build: ## Build the program
	cargo build --locked

.PHONY: demo
demo: ## Watch it place pods on an embedded fleet
	@cargo run --locked -- demo

# How many seeds the fault simulation plays, and which is the first.
SEEDS ?= 1000
FIRST ?= 0

.PHONY: sim
sim: ## Testudo in a simulated cluster full of faults: make sim SEEDS=100000
	cargo run --locked --profile bench --package testudo-faults --bin sim -- --seeds $(SEEDS) --first $(FIRST)

.PHONY: test
test: tools ## Everything that a change must pass
	$(call stage,format,cargo fmt --all --check)
	$(call stage,lints,cargo clippy --locked --workspace --all-targets -- -D warnings)
	$(call stage,unit and property tests,PROPTEST_RNG_SEED=1 cargo test --locked --workspace --exclude testudo-e2e --exclude testudo-faults)
	$(call stage,a thousand seeds of faults,cargo test --locked -p testudo-faults)
	$(call stage,Go tools for $(K8S),e2e/tools/build.sh)
	$(call stage,chart and policies and the audits of e2e,cargo test --locked -p testudo-e2e --lib --test chart)
	$(call stage,DRA differential,cargo test --locked -p testudo-e2e --test claims)
	$(call stage,end-to-end on $(K8S),cargo build --locked && cargo test --locked -p testudo-e2e --test e2e)
	$(call stage,the page in a browser,cargo test --locked -p testudo-e2e --test browser -- --test-threads=1)

.PHONY: test-all
test-all: test ## The same, bugs on purpose, the long simulations, and the end-to-end tests on every supported Kubernetes
	$(call stage,property tests on other cases,for round in $$(seq 20); do cargo test --locked -p testudo-core --lib; done)
	$(call stage,every state of more gangs,cargo test --locked -p gang-protocol -- --ignored)
	$(call stage,every bug on purpose is found,cargo test --locked -p testudo-faults --test mutations -- --ignored --nocapture)
	$(call stage,published figures,cargo test --locked --release -p testudo --test simulate -- --ignored)
	$(call stage,MIG against other policies,cargo test --locked --release -p testudo --lib sim::mig -- --ignored)
	$(call stage,killed while it binds gangs and allocates claims,TESTUDO_E2E_CRASHES=20 cargo test --locked -p testudo-e2e --test e2e -- killed_while)
	$(call stage,two schedulers and 1000 claims,cargo build --locked --release -p testudo && TESTUDO_BIN=$(CURDIR)/target/release/testudo TESTUDO_E2E_CLAIMS=1000 cargo test --locked -p testudo-e2e --test e2e -- --include-ignored claims::two_schedulers --test-threads=1)
	$(call stage,an upgrade from the last state,former=$$(e2e/tools/former.sh $(FORMER)) && TESTUDO_FORMER=$$former cargo test --locked -p testudo-e2e --test e2e -- failover::a_former_version)
	$(call stage,the leader changes under 500 pods,TESTUDO_E2E_PODS=500 cargo test --locked -p testudo-e2e --test e2e -- failover::)
	$(call stage,DRA differential at length,CLAIMS_SEED=1000000 CLAIMS_CASES=200000 cargo test --locked -p testudo-e2e --test claims agree)
	$(call stage,end-to-end on 1.34,$(MAKE) e2e K8S=1.34)
	$(call stage,end-to-end on 1.35,$(MAKE) e2e K8S=1.35)

.PHONY: rendered
rendered: ## Write anew what is generated: deploy/manifests, policies, docs/metrics.md
	e2e/tools/build.sh
	UPDATE_RENDERED=1 cargo test --locked -p testudo --test metrics_reference
	UPDATE_RENDERED=1 cargo test --locked -p testudo-e2e --test chart rendered

.PHONY: e2e
e2e: tools ## End-to-end tests on a real control plane: make e2e K8S=1.34
	e2e/tools/build.sh
	cargo build --locked
	cargo test --locked -p testudo-e2e --test e2e

.PHONY: chaos
chaos: tools ## Kill everything at random under load, for CHAOS_MINUTES (30) by CHAOS_SEED (1), then audit
	e2e/tools/build.sh
	cargo build --locked
	cargo test --locked -p testudo-e2e --test e2e -- --ignored --nocapture chaos::

.PHONY: load
load: ## 10,000 nodes and 80,000 pods, 500 requests/s for LOAD_SECONDS (600), slow clients, overload
	cargo build --locked --profile bench -p testudo
	TESTUDO_BIN=$(CURDIR)/target/release/testudo cargo bench --locked -p testudo-e2e --bench load

.PHONY: fuzz
fuzz: ## Fuzz everything that reads input, for FUZZ_SECONDS (300) each (cargo-fuzz, nightly)
	for target in $$(cd fuzz/fuzz_targets && ls | sed 's/\.rs$$//'); do mkdir -p fuzz/found/$$target; \
	    cargo +nightly fuzz run $$target fuzz/found/$$target fuzz/corpus/$$target -- -max_total_time=$${FUZZ_SECONDS:-300} -rss_limit_mb=4096 || exit 1; done

.PHONY: bench
# Each benchmark adds its figures to this file.
bench: export FIGURES := $(CURDIR)/target/figures.jsonl
bench: ## Benchmarks, each figure beside its reference, and one table of them all at the end
	e2e/tools/build.sh
	mkdir -p target && rm -f $(FIGURES)
	cargo bench --locked
	cargo bench --locked -p testudo-e2e --bench claims
	cargo build --locked --profile bench -p testudo
	TESTUDO_BIN=$(CURDIR)/target/release/testudo cargo test --locked -p testudo-e2e --test e2e -- --ignored --nocapture gangs::figure
	TESTUDO_BIN=$(CURDIR)/target/release/testudo cargo test --locked -p testudo-e2e --test e2e -- --ignored --nocapture throughput::
	TESTUDO_BIN=$(CURDIR)/target/release/testudo cargo test --locked -p testudo-e2e --test e2e -- --ignored --nocapture claims::churn_figure
	@printf '\n%s, %s cores, %s of memory, Linux %s, %s, Kubernetes %s, %s, commit %s\n\n' \
	    "$$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)" "$$(nproc)" "$$(free -h | awk '/^Mem:/ {print $$2}')" \
	    "$$(uname -r)" "$$(rustc --version)" "$(K8S)" "$$(date -u +%F)" "$$(git rev-parse --short HEAD)"
	@cargo run --locked --quiet --profile bench --example figures
