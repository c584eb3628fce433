//go:build adclick_shared

package adclick

// The installed shared library and header, as pkg-config finds them.

// #cgo pkg-config: adclick
import "C"
