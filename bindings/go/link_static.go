//go:build !adclick_shared

package adclick

// The static archive of this platform, and the header that it was built from.

// #cgo CFLAGS: -I${SRCDIR}/lib
import "C"

import _ "adclick.io/adclick/lib"
