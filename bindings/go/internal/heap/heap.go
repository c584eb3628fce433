// Package heap tells tests how much memory the process has from the C allocator, which the library uses.
package heap

// #include <malloc.h>
import "C"

// InUse is the number of bytes that are allocated in C and not freed.
func InUse() int64 {
	info := C.mallinfo2()
	return int64(info.uordblks) + int64(info.hblkhd)
}
