//go:build !cgo

package adclick

// Without cgo nothing of the library can be called. This is the first line that the compiler then complains of.
var _ = adclick_needs_cgo_set_CGO_ENABLED_1_and_install_a_C_compiler
