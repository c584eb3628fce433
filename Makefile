# libadclick. `make help` lists what there is.
CARGO ?= cargo
PREFIX ?= /usr/local
# Where libraries go under PREFIX: lib, lib64, lib/x86_64-linux-gnu.
LIBDIR ?= lib
# For `make demo`: DATA=file FORMAT=criteo|avazu (plain, .gz or .zst). Without DATA: a small generator with known truth.
DATA ?=
FORMAT ?=
BUILD := build
# What they run with at least (docs/c-api.md), however new the one here is. The libraries are linked for it (packaging/shared.sh);
# cargo links the command, so it needs what Debian 12 brings.
LEAST_GLIBC := 2.28
LEAST_GLIBC_OF_COMMAND := 2.34
# This file looks for what it links, tests and installs in target/, whatever the environment says.
export CARGO_TARGET_DIR := $(CURDIR)/target

CXXFLAGS ?= -O2 -g
CFLAGS ?= -O2 -g
WARNINGS := -Wall -Wextra -Wpedantic -Werror

.DEFAULT_GOAL := all
.PHONY: all help tools core cli demo ids ids-bundle test test-all check test-tools test-core test-offline test-demo test-model test-install \
  parity-rust test-go test-go-shared java test-java bench-java lint header bench install clean

# Enough for the tests of the bindings to run by their own tools.
all: cli

help:
	@echo 'make           the library and the adclick command'
	@echo 'make demo [DATA=file FORMAT=criteo|avazu]  from click logs to decisions served by a C++ program'
	@echo 'make ids       requests that carry ids only, served from feature tables (examples/cpp/ids.cpp, examples/c/ids.c)'
	@echo 'make servers   three ad servers that speak OpenRTB: same decisions, then load (ONLY=cpp,go,java)'
	@echo 'make check     formatting, lints and unit tests of the core, before each commit     make lint     without the tests'
	@echo 'make test      all tests, and where their time goes'
	@echo 'make test-long the long forms: random networks, changed bundles, killed publishers, opened engines'
	@echo 'make core      the library        make cli      the adclick command'
	@echo 'make go-module DIR=…  the Go module as it is published     make go-musl  its archive for musl (docs/go.md)'
	@echo 'make java      the Java binding, into the local Maven repository (docs/java.md)'
	@echo 'make bench     benchmarks (BENCH=--quick: in short)   make header   renew include/adclick.h, make bindings what follows from it'
	@echo 'make bench-train [ROWS=60000,200000,1000000]  training beside PyTorch loops and LightGBM (benches/train)'
	@echo 'make install PREFIX=/usr/local    libraries, headers, CMake package, pkg-config file and command'

# The tools that everything needs. A missing compiler is installed where that needs no answer; otherwise one line names it.
tools:
	@command -v $(CARGO) >/dev/null || { echo 'make: cargo is missing: install Rust 1.89 or later (https://rustup.rs)'; exit 1; }
	@command -v c++ >/dev/null && command -v cc >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq gcc g++; } \
	  || { echo 'make: a C and C++ compiler (cc, c++) is missing: install gcc and g++'; exit 1; }

# Crates that are built together share their features, and so one build of the core. `make test` builds the command anyway.
core: tools
	$(CARGO) build --release -p adclick $(if $(TIMES),-p adclick-cli)
	@packaging/go-lib.sh $(GO_PLATFORM) target/release/libadclick.a

cli: tools
	$(CARGO) build --release -p adclick -p adclick-cli
	@packaging/go-lib.sh $(GO_PLATFORM) target/release/libadclick.a

LINK := -Ltarget/release -ladclick -pthread -Wl,-rpath,'$(CURDIR)/target/release'

$(BUILD)/%: examples/cpp/%.cpp include/adclick.h include/adclick.hpp $(wildcard include/adclick/*.hpp) | cli
	@mkdir -p $(BUILD)
	$(CXX) -std=c++17 $(CXXFLAGS) $(WARNINGS) -Iinclude $< -o $@ $(LINK)

$(BUILD)/%-c: examples/c/%.c include/adclick.h | cli
	@mkdir -p $(BUILD)
	$(CC) -std=c11 $(CFLAGS) $(WARNINGS) -Iinclude $< -o $@ $(LINK)

demo: $(BUILD)/serve
	@if [ -n '$(DATA)' ]; then \
	  target/release/adclick demo --server $(BUILD)/serve --dir $(BUILD)/demo --data '$(DATA)' --format '$(or $(FORMAT),criteo)'; \
	else \
	  target/release/adclick demo --server $(BUILD)/serve --dir $(BUILD)/demo; \
	fi

TABLES := users ads user_advertiser user_category

# `cargo test` runs the same programs and checks what they print (offline/cli/tests/data/ids.rs).
ids: $(BUILD)/ids $(BUILD)/ids-c ids-bundle
	$(BUILD)/ids $(BUILD)/bundles
	$(BUILD)/ids-c $(BUILD)/bundles

ids-bundle: cli
	target/release/adclick pack --weights examples/tables/weights.safetensors --schema examples/schemas/document_tables.toml \
	  $(foreach table,$(TABLES),--table $(table)=examples/tables/$(table).csv) --out $(BUILD)/bundles/ids --replace --publish

# All tests. Whatever becomes of them, a table at the end says which step took how long: by the clock, and of all cores together.
test:
	@mkdir -p $(BUILD) && rm -f $(BUILD)/times
	@export TIMES='$(CURDIR)/$(BUILD)/times'; $(MAKE) --no-print-directory test-all; status=$$?; tests/times.sh; exit $$status

ifdef TIMES
SHELL := $(CURDIR)/tests/times.sh
.SHELLFLAGS = step:$@ -c
endif

test-all: tools test-core test-offline test-demo test-model test-install test-go test-go-shared test-java test-peers

# What to run before each commit: a minute or two once built.
check: lint
	$(CARGO) test -p adclick --lib

# What the tests of the installed tree need besides; without it they say so and are skipped.
test-tools: tools
	@command -v cmake >/dev/null && command -v pkg-config >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq cmake pkg-config; } \
	  || echo 'make: cmake or pkg-config is missing: the tests of the installed tree skip what needs them'

test-core: test-tools build-tests-core
	$(CARGO) test -p adclick

.PHONY: build-tests-core build-tests-offline
build-tests-core: tools
	$(CARGO) test -p adclick --no-run

.PHONY: test-long
# The long forms of tests, minutes each (tests/long, and more cases of others): not in `make test`.
test-long: tools
	$(CARGO) test --release -p adclick --test long -- --ignored --nocapture --test-threads 1
	$(CARGO) test --release -p adclick --test serving -- --ignored --nocapture --test-threads 1
	$(CARGO) test --release -p adclick --test auction -- --ignored --nocapture
	ADCLICK_CASES=10000 $(CARGO) test -p adclick --test infer random_networks -- --nocapture
	ADCLICK_SEEDS=5 $(CARGO) test --release -p adclick-train --lib accuracy_on -- --nocapture
	$(CARGO) test --release -p adclick-train --lib market_tests -- --ignored --nocapture --test-threads 1
	ADCLICK_CASES=10000 $(CARGO) test --release -p adclick-join --test join random -- --nocapture
	ADCLICK_TEST_KILLS=100 $(CARGO) test -p adclick --lib decision_log -- --nocapture
	$(CARGO) bench -p adclick --bench log -- --long

# `make install` itself, and a project that uses what it installed.
test-install: cli
	rm -rf $(BUILD)/stage $(BUILD)/cmake
	$(MAKE) --no-print-directory install DESTDIR='$(CURDIR)/$(BUILD)/stage' PREFIX=/usr
	cmake -S examples/cmake -B $(BUILD)/cmake -DCMAKE_PREFIX_PATH='$(CURDIR)/$(BUILD)/stage/usr'
	cmake --build $(BUILD)/cmake --parallel 2
	$(BUILD)/stage/usr/bin/adclick pack --weights examples/tables/weights.safetensors \
	  --schema examples/schemas/document_tables.toml $(foreach table,$(TABLES),--table $(table)=examples/tables/$(table).csv) \
	  --out $(BUILD)/stage/bundle
	$(BUILD)/cmake/first $(BUILD)/stage/bundle
	$(BUILD)/cmake/first_static $(BUILD)/stage/bundle
	packaging/glibc.sh $(LEAST_GLIBC) $(BUILD)/stage/usr/$(LIBDIR)/libadclick.so
	packaging/glibc.sh $(LEAST_GLIBC_OF_COMMAND) $(BUILD)/stage/usr/bin/adclick

OFFLINE := -p adclick-measure -p adclick-data -p adclick-join -p adclick-train -p adclick-cli

# In release: training is too slow without optimisation, and `make demo` uses the same build.
test-offline: build-tests-offline
	$(CARGO) test --release $(OFFLINE)

build-tests-offline: tools
	$(CARGO) test --release $(OFFLINE) --no-run

# Coverage of the intervals, and false alarms and power of the choice of calibrators, over many simulated runs: the figures of
# docs/calibrate.md. Some minutes.
.PHONY: coverage
coverage:
	$(CARGO) test --release -p adclick-measure -p adclick-train --lib over_many_runs -- --ignored --nocapture --test-threads 1

# The join in SQL beside ours, on the log of a simulated market (examples/spark). Where Python packages cannot be installed, it says so.
SQL_PYTHON := $(CURDIR)/$(BUILD)/sql/bin/python
.PHONY: test-sql test-spark
test-sql: build-tests-offline
	@python3 -m venv $(BUILD)/sql && grep -v pyspark examples/spark/requirements.txt | $(SQL_PYTHON) -m pip install -q -r /dev/stdin \
	  || echo 'make: Python packages cannot be installed: the join is not compared with DuckDB'
	@if $(SQL_PYTHON) -c 'import duckdb, fastavro, polars, pandas' 2>/dev/null; then \
	  ADCLICK_SQL_PYTHON=$(SQL_PYTHON) ADCLICK_SQL_REQUESTS=60000 $(CARGO) test --release $(OFFLINE) --test join sql -- --nocapture; fi

# Spark reads Avro by a package of its own.
SPARK_AVRO := org.apache.spark:spark-avro_2.13:$(shell sed -n 's/^pyspark==//p' examples/spark/requirements.txt)
test-spark: tools
	python3 -m venv $(BUILD)/sql && $(SQL_PYTHON) -m pip install -q -r examples/spark/requirements.txt
	mvn -q dependency:copy -Dartifact=$(SPARK_AVRO) -DoutputDirectory='$(CURDIR)/$(BUILD)/spark'
	ADCLICK_SQL_PYTHON=$(SQL_PYTHON) ADCLICK_SQL_ENGINES=duckdb,spark ADCLICK_SQL_REQUESTS=200000 \
	  ADCLICK_SQL_JAR="$$(ls '$(CURDIR)/$(BUILD)'/spark/spark-avro*.jar)" $(CARGO) test --release $(OFFLINE) --test join sql -- --nocapture

# The demo in short: generated rows, two seconds of serving with swaps.
test-demo: $(BUILD)/serve
	target/release/adclick demo --server $(BUILD)/serve --dir $(BUILD)/demo-test --rows 12000 --seconds 2

# The hot swap, under every interleaving that loom finds.
test-model:
	$(CARGO) test --release -p adclick-loom loom_

.PHONY: test-peers bench-peers bench-calls

# That the benchmark of models runs, without the peers.
test-peers:
	$(CARGO) test --release -p adclick -p adclick-cli -p adclick-peers --bin models

# The requests that every language answers, and the answers from Rust (tests/parity/README.md).
PARITY := target/release/parity
parity-rust: tools
	@mkdir -p $(BUILD)
	$(CARGO) build --release -p adclick -p adclick-cli -p testkit
	$(PARITY) make $(BUILD)/parity
	$(PARITY) $(addprefix $(BUILD)/parity/,bundle requests.bin rust.bin)

include bindings/go/go.mk
include bindings/java/java.mk
include examples/openrtb/servers.mk

lint: tools
	scripts/rooms.py
	scripts/documents.py
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --features adclick-peers/tables -- -D warnings
	@# As servers build it: without the feature builder.
	$(CARGO) clippy -p adclick --lib -- -D warnings
	python3 bindings/generate --check
	$(MAKE) --no-print-directory lint-docs

# Rustdoc without warnings, with and without builder; and how much of the crate is public without it.
.PHONY: lint-docs
lint-docs:
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc -q -p adclick --no-deps --features builder
	rm -rf target/doc/adclick
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc -q -p adclick --no-deps
	scripts/public-items.sh target/doc/adclick 120

.PHONY: bindings test-grown
# What the bindings say of the header: numbers, layouts, options (bindings/generate).
bindings:
	python3 bindings/generate

# How the ABI grows: programs and libraries whose candidates, winners and requests differ by a field, both ways, in C, Go and Java.
GROWN := $(BUILD)/grown
test-all: test-grown
test-grown: tools parity-rust
	RUSTFLAGS='--cfg adclick_grown' $(CARGO) build -p adclick --lib --target-dir target/grown
	packaging/libraries.sh target/grown/debug/libadclick.a $(GROWN)/grown
	packaging/libraries.sh target/release/libadclick.a $(GROWN)/present
	ADCLICK_GROWN='$(CURDIR)/$(GROWN)/grown' $(CARGO) test -p adclick --test surface -- client
	python3 bindings/test_growth.py $(GROWN)/present $(GROWN)/grown $(BUILD)/parity $(GROWN)

header:
	ADCLICK_UPDATE=1 $(CARGO) test -q -p adclick --test surface header

# BENCH=--quick: fewer turns, smaller tables.
BENCH ?=

bench: tools bench-peers bench-calls bench-java
	$(CARGO) bench -p adclick --bench request -- $(BENCH)
	$(CARGO) bench -p adclick --bench calibrate --bench kernels --bench levels --bench zeros --bench latency --bench overlay --bench similarity --bench switches
	$(CARGO) run --release -p adclick-peers --features tables --bin tables $(if $(BENCH),-- 1000000 5)

# One call of each language on the same requests; Java's are timed by JMH (bench-java).
bench-calls: ids-bundle
	$(CC) -std=c11 $(CFLAGS) $(WARNINGS) -Iinclude benches/calls/calls.c -o $(BUILD)/calls-c $(LINK)
	$(CXX) -std=c++17 $(CXXFLAGS) $(WARNINGS) -Iinclude benches/calls/calls.cpp -o $(BUILD)/calls-cpp $(LINK)
	rust="$$($(CARGO) bench -q -p adclick --bench calls --no-run --message-format short 2>&1 >/dev/null; \
	  ls -t target/release/deps/calls-* | grep -v '\.d$$' | head -n 1)"; \
	python3 benches/calls/compare.py $(BUILD)/bundles/ids bindings/go C=$(BUILD)/calls-c Rust="$$rust" C++=$(BUILD)/calls-cpp

# Training beside PyTorch loops and LightGBM.
.PHONY: bench-train
bench-train: cli
	python3 benches/train/compare.py --rows $(or $(ROWS),60000)

# Models beside ONNX Runtime, LiteRT, OpenVINO, tract and PyTorch. A peer that cannot be installed is named as absent.
bench-peers: tools
	@mkdir -p $(BUILD)/peers
	benches/peers/python/install.sh $(BUILD)/peers/venv
	-$(CARGO) build --release --locked --manifest-path benches/tract/Cargo.toml --target-dir target/tract
	$(CARGO) run --release -p adclick-peers --bin models -- $(BENCH)

install: cli
	DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' packaging/install.sh target/release/libadclick.a '$(LIBDIR)'
	install -d '$(DESTDIR)$(PREFIX)/bin'
	install -m 755 target/release/adclick '$(DESTDIR)$(PREFIX)/bin/'

clean:
	$(CARGO) clean
	rm -rf $(BUILD)
