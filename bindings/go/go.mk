# The Go binding. Included by the root's Makefile.
GO ?= go
# The platform as Go calls it.
GO_PLATFORM := linux_$(subst aarch64,arm64,$(subst x86_64,amd64,$(shell uname -m)))
MUSL := $(shell uname -m)-unknown-linux-musl

.PHONY: go-musl go-module test-go-module

# The archive for musl (Alpine), which Go programs link with the tag musl. What unwinds is Rust's and goes in, so that the compiler
# which links need not have it.
go-musl: tools
	rustup target add $(MUSL)
	$(CARGO) rustc --release -p adclick --lib --crate-type staticlib --target $(MUSL)
	packaging/go-lib.sh $(GO_PLATFORM)_musl target/$(MUSL)/release/libadclick.a \
	  "$$(rustc --print target-libdir --target $(MUSL))/self-contained/libunwind.a"

# The Go module as it is published, in the directory DIR: with the archives that are in bindings/go/lib (docs/go.md).
go-module: core
	packaging/go-module.sh '$(DIR)'

# The Go binding: plain, with the race detector, and with every pointer that goes to C checked. The library may have changed
# since Go ran the tests, which it does not notice: -count=1.
GO_TEST := $(GO) test -count=1 -timeout 5m
test-go: ids-bundle parity-rust
	@command -v $(GO) >/dev/null || { echo 'make: go is missing: install Go 1.25 or later (https://go.dev/dl)'; exit 1; }
	@unformatted="$$(gofmt -l bindings/go examples/go)" && [ -z "$$unformatted" ] || { echo "gofmt -w $$unformatted"; exit 1; }
	cd bindings/go && $(GO) vet ./... && $(GO_TEST) ./... && $(GO_TEST) -race . && GOEXPERIMENT=cgocheck2 $(GO_TEST) .
	cd examples/go/first && $(GO) vet . && $(GO) run . '$(CURDIR)/$(BUILD)/bundles'
	cd examples/go/adserver && $(GO) vet . && $(GO_TEST) -race .
	cd bindings/go && $(GO) run ./internal/parity $(addprefix '$(CURDIR)'/$(BUILD)/parity/,bundle requests.bin go.bin)
	cmp $(BUILD)/parity/rust.bin $(BUILD)/parity/go.bin

# The published module, from outside the repository, as `go get` brings it.
test-go: test-go-module
test-go-module: test-install
	packaging/test-go-module.py $(BUILD)/go-module $(BUILD)/stage/usr $(LIBDIR) $(BUILD)/stage/bundle

# The same package over the shared library as it is installed.
test-go-shared: test-install
	stage='$(CURDIR)/$(BUILD)/stage'; cd bindings/go && PKG_CONFIG_SYSROOT_DIR="$$stage" \
	  PKG_CONFIG_LIBDIR="$$stage/usr/$(LIBDIR)/pkgconfig" PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 \
	  LD_LIBRARY_PATH="$$stage/usr/$(LIBDIR)" $(GO_TEST) -tags adclick_shared .

