// Package lib holds libadclick as static archives, one for each platform, and the header that they were built from. The
// package adclick links the one that fits; there is nothing here to call.
package lib

// #cgo musl CFLAGS: -DADCLICK_MUSL
// #cgo linux,amd64,!musl LDFLAGS: ${SRCDIR}/libadclick_linux_amd64.a
// #cgo linux,arm64,!musl LDFLAGS: ${SRCDIR}/libadclick_linux_arm64.a
// #cgo linux,amd64,musl LDFLAGS: ${SRCDIR}/libadclick_linux_amd64_musl.a
// #cgo linux,arm64,musl LDFLAGS: ${SRCDIR}/libadclick_linux_arm64_musl.a
// #cgo LDFLAGS: -lm -lpthread -ldl -lrt
//
// // What would otherwise be a list of names that the linker misses is said in a sentence.
// #if !defined(__linux__) || !(defined(__x86_64__) || defined(__aarch64__))
// #error "libadclick has no static archive for this platform, only for Linux on amd64 and arm64"
// #else
// #include <features.h>
// #if defined(ADCLICK_MUSL) && defined(__GLIBC__)
// #error "the tag musl is set, but this C compiler has glibc: leave the tag out, or set CC=musl-gcc"
// #elif !defined(ADCLICK_MUSL) && !defined(__GLIBC__)
// #error "this C compiler has musl: build with -tags musl"
// #elif defined(__x86_64__) && !defined(ADCLICK_MUSL) && !__has_include("libadclick_linux_amd64.a")
// #error "libadclick_linux_amd64.a is missing: run make core in libadclick's repository, or use -tags adclick_shared"
// #elif defined(__aarch64__) && !defined(ADCLICK_MUSL) && !__has_include("libadclick_linux_arm64.a")
// #error "libadclick_linux_arm64.a is missing: run make core in libadclick's repository, or use -tags adclick_shared"
// #elif defined(__x86_64__) && defined(ADCLICK_MUSL) && !__has_include("libadclick_linux_amd64_musl.a")
// #error "libadclick_linux_amd64_musl.a is missing: run make go-musl in libadclick's repository"
// #elif defined(__aarch64__) && defined(ADCLICK_MUSL) && !__has_include("libadclick_linux_arm64_musl.a")
// #error "libadclick_linux_arm64_musl.a is missing: run make go-musl in libadclick's repository"
// #endif
// #endif
import "C"
