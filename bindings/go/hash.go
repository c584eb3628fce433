package adclick

// #cgo noescape adclick_hash
// #cgo nocallback adclick_hash
// #cgo noescape adclick_key
// #cgo nocallback adclick_key
// #include <adclick.h>
import "C"

import "unsafe"

// Hash is the id of a category string, for [Value].ID, and of a string id, for keys. An integer category is its own id.
func Hash(text string) uint64 {
	return uint64(C.adclick_hash(unsafe.Pointer(unsafe.StringData(text)), C.size_t(len(text))))
}

// HashBytes is [Hash] of bytes.
func HashBytes(text []byte) uint64 {
	return uint64(C.adclick_hash(unsafe.Pointer(unsafe.SliceData(text)), C.size_t(len(text))))
}

// Key is the key of a table row that belongs to several ids, such as user and advertiser, in the order in which the
// table's key names them. It is 0, which is no key, when an id is 0 (unknown) or when there is none.
func Key(ids ...uint64) uint64 {
	return uint64(C.adclick_key((*C.uint64_t)(unsafe.SliceData(ids)), C.size_t(len(ids))))
}
