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
