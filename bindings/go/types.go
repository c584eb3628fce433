package adclick

// #include <adclick.h>
import "C"

import (
	"fmt"
	"sync"
)

// Input is a request with its candidates. It is only read, so that several calls may share it.
type Input struct {
	Request Request
	// What is known of the request itself.
	Values     []Value
	Candidates []Candidate
	// The values of all candidates; each candidate says which are its own.
	CandidateValues []Value
	// Values of candidates in columns, beside CandidateValues.
	Columns ColumnValues
}

// ColumnValues are values of candidates in columns: handles once, then a block of ids and one of numbers, row after row, a row for each candidate;
// so that no handle is looked up for each value. A cell counts as a [Value] does that stands before the candidate's own: where
// an input takes one value, the last one counts. A multi-valued category takes each as one more; a vector's positions are
// passed by values. A number that is NaN is missing.
type ColumnValues struct {
	// The handles of the columns of ids, and [candidates][IDFeatures] ids.
	IDFeatures []uint32
	IDs        []uint64
	// The handles of the columns of numbers, and [candidates][NumberFeatures] numbers.
	NumberFeatures []uint32
	Numbers        []float32
	// Whether an id that equals MissingID is missing.
	HasMissingID bool
	MissingID    uint64
}

// KeepNoUser is a flag of a [Request]: the user must not be kept. The decision is logged without user and session, and without
// values that belong to the user.
const KeepNoUser uint32 = C.ADCLICK_KEEP_NO_USER

// NoCandidate is the RunnerUp of a winner that nobody was behind.
const NoCandidate uint32 = C.ADCLICK_NO_CANDIDATE

// Flags of a candidate: it has stopped and takes no part; no reserve and no floor applies to it but its own.
const (
	CandidateStopped     uint32 = C.ADCLICK_CANDIDATE_STOPPED
	CandidateFloorExempt uint32 = C.ADCLICK_CANDIDATE_FLOOR_EXEMPT
)

// WinnerExplored is the flag of a winner that exploration put where it stands.
const WinnerExplored uint32 = C.ADCLICK_WINNER_EXPLORED

// The names of the reasons that the library may know; asked for once, since a call costs more than a look.
var reasonNames = sync.OnceValue(func() (names [64]string) {
	for i := range names {
		names[i] = C.GoString(C.adclick_reason_name(C.uint32_t(i)))
	}
	return names
})

// String is the library's name of the reason, such as "below_reserve".
func (r Reason) String() string {
	if names := reasonNames(); int(r) < len(names) {
		return names[r]
	}
	return C.GoString(C.adclick_reason_name(C.uint32_t(r)))
}

// Version is that of the linked library, such as "0.1.0".
func Version() string {
	return C.GoString(C.adclick_version())
}

// BestKernel is the name of the best instruction set that this CPU has: "avx512", "avx2" or "portable".
func BestKernel() string {
	return C.GoString(C.adclick_kernel(nil))
}

// ABIVersion is the version of the C ABI that the linked library has.
func ABIVersion() uint32 {
	return uint32(C.adclick_abi_version())
}

// The name of a number that may be one of a newer library.
func nameOf[T ~uint32](number T, what string, names ...string) string {
	if int(number) < len(names) {
		return names[number]
	}
	return fmt.Sprintf("%s(%d)", what, uint32(number))
}
