package adclick

// #include <adclick.h>
import "C"

import (
	"math"
)

// Error is the status's name in the C header, such as "ADCLICK_CLOSED".
func (s Status) Error() string {
	return C.GoString(C.adclick_status_name(C.int32_t(s)))
}

// Error is what a failing call returns.
type Error struct {
	Status Status
	// One sentence: what was expected, what was found, what to do.
	Message string
}

func (e *Error) Error() string {
	return e.Status.Error() + ": " + e.Message
}

// Unwrap gives the status, so that errors.Is(err, ErrClosed) works.
func (e *Error) Unwrap() error {
	return e.Status
}

// What the library fills when a call fails.
type failure = C.adclick_error

func newFailure() failure {
	return failure{struct_size: C.sizeof_adclick_error}
}

// The error of a call that returned status.
func toError(status C.adclick_status, why *failure) error {
	if status == C.ADCLICK_OK {
		return nil
	}
	return &Error{Status(status), C.GoString(&why.message[0])}
}

func invalid(message string) error {
	return &Error{ErrInvalidArgument, message}
}

// Whether a length fits the 32-bit counts of the C structs.
func fits(n int) bool {
	return uint64(n) <= math.MaxUint32
}

var errTooLong = &Error{ErrInvalidArgument, "a slice has more than 4,294,967,295 entries"}
