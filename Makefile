# libadclick. `make help` lists what there is.
CARGO ?= cargo
PREFIX ?= /usr/local
# For `make demo`: DATA=file FORMAT=criteo|avazu (plain, .gz or .zst). Without DATA: a small generator with known truth.
DATA ?=
FORMAT ?=
BUILD := build

CXXFLAGS ?= -O2 -g
WARNINGS := -Wall -Wextra -Wpedantic -Werror

.PHONY: help tools core cli demo test test-core test-offline test-demo test-model lint header bench install clean

help:
	@echo 'make demo [DATA=file FORMAT=criteo|avazu]  from click logs to decisions served by a C++ program'
	@echo 'make test      all tests          make lint     formatting and lints'
	@echo 'make core      the library        make cli      the adclick command'
	@echo 'make bench     benchmarks         make header   renew include/adclick.h'
	@echo 'make install PREFIX=/usr/local    library, headers and command'

# What is needed first. A missing compiler is installed where that takes no question, else named in one line.
tools:
	@command -v $(CARGO) >/dev/null || { echo 'make: cargo is missing: install Rust 1.89 or later (https://rustup.rs)'; exit 1; }
	@command -v c++ >/dev/null && command -v cc >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq gcc g++; } \
	  || { echo 'make: a C and C++ compiler (cc, c++) is missing: install gcc and g++'; exit 1; }

core: tools
	$(CARGO) build --release -p adclick

cli: tools
	$(CARGO) build --release --workspace

$(BUILD)/serve: cli examples/cpp/serve.cpp include/adclick.h include/adclick.hpp
	@mkdir -p $(BUILD)
	$(CXX) -std=c++17 $(CXXFLAGS) $(WARNINGS) -Iinclude examples/cpp/serve.cpp -o $@ \
	  -Ltarget/release -ladclick -pthread -Wl,-rpath,'$(CURDIR)/target/release'

demo: $(BUILD)/serve
	@if [ -n '$(DATA)' ]; then \
	  target/release/adclick demo --server $(BUILD)/serve --dir $(BUILD)/demo --data '$(DATA)' --format '$(or $(FORMAT),criteo)'; \
	else \
	  target/release/adclick demo --server $(BUILD)/serve --dir $(BUILD)/demo; \
	fi

test: tools test-core test-offline test-demo test-model

test-core:
	$(CARGO) test -p adclick

# In release: training is too slow without optimisation, and `make demo` uses the same build.
test-offline:
	$(CARGO) test --release -p adclick-offline

# The demo in short: generated rows, two seconds of serving with swaps.
test-demo: $(BUILD)/serve
	target/release/adclick demo --server $(BUILD)/serve --dir $(BUILD)/demo-test --rows 12000 --seconds 2

# The hot swap, under every interleaving that loom finds.
test-model:
	RUSTFLAGS='--cfg loom' $(CARGO) test -p adclick --release --lib --target-dir target/loom loom_

lint: tools
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

header:
	ADCLICK_UPDATE=1 $(CARGO) test -q -p adclick --test header

bench: tools
	$(CARGO) bench -p adclick --bench kernels --bench overlay

install: cli
	install -d '$(DESTDIR)$(PREFIX)/lib' '$(DESTDIR)$(PREFIX)/include' '$(DESTDIR)$(PREFIX)/bin'
	install -m 755 target/release/libadclick.so '$(DESTDIR)$(PREFIX)/lib/'
	install -m 644 target/release/libadclick.a '$(DESTDIR)$(PREFIX)/lib/'
	install -m 644 include/adclick.h include/adclick.hpp '$(DESTDIR)$(PREFIX)/include/'
	install -m 755 target/release/adclick '$(DESTDIR)$(PREFIX)/bin/'

clean:
	$(CARGO) clean
	rm -rf $(BUILD)
