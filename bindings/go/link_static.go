//go:build !adclick_shared

package adclick

// The static library and the header of the repository that this package is part of. Rust's standard library in it needs
// the system libraries that follow.

// #cgo CFLAGS: -I${SRCDIR}/../../include
// #cgo LDFLAGS: ${SRCDIR}/../../target/release/libadclick.a -lgcc_s -lutil -lrt -lpthread -lm -ldl
import "C"
