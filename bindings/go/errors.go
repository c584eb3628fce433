package adclick

// #include <adclick.h>
import "C"

import (
	"math"
)

// Status says what kind of failure an [Error] is. It is an error itself, to compare with by errors.Is. A later library may
// return statuses that are not listed here.
type Status int32

const (
	// ErrInvalidArgument: an argument is out of range or contradicts another one.
	ErrInvalidArgument Status = C.ADCLICK_INVALID_ARGUMENT
	// ErrBadStructSize: the library is older than this package and lacks something that was asked for.
	ErrBadStructSize Status = C.ADCLICK_BAD_STRUCT_SIZE
	// ErrCapacityExceeded: more candidates than the scorer was sized for, too many names, or no memory for overlay rows or
	// the ad cache.
	ErrCapacityExceeded Status = C.ADCLICK_CAPACITY_EXCEEDED
	// ErrInvalidValue: an input value is NaN or infinite; or, of [Engine.InputError], values came with the wrong side.
	ErrInvalidValue Status = C.ADCLICK_INVALID_VALUE
	// ErrClosed: the engine, scorer, pool or staged generation was closed or used up.
	ErrClosed Status = C.ADCLICK_CLOSED
	// ErrIO: a file or directory cannot be opened or read.
	ErrIO Status = C.ADCLICK_IO
	// ErrCorrupt: a file is damaged.
	ErrCorrupt Status = C.ADCLICK_CORRUPT
	// ErrUnsupported: a file, a kernel or this package needs something that the library or the CPU does not have.
	ErrUnsupported Status = C.ADCLICK_UNSUPPORTED
	// ErrGoldenMismatch: the model's golden requests give other results here than where it was packed.
	ErrGoldenMismatch Status = C.ADCLICK_GOLDEN_MISMATCH
	// ErrNoPrevious: there is no earlier generation to roll back to.
	ErrNoPrevious Status = C.ADCLICK_NO_PREVIOUS
	// ErrBusy: the scorer is in use by another call; or something goes on after the time given to [Engine.CloseWithin].
	ErrBusy Status = C.ADCLICK_BUSY
	// ErrBufferTooSmall: the slice for the winners is too small.
	ErrBufferTooSmall Status = C.ADCLICK_BUFFER_TOO_SMALL
	// ErrInternal: a bug in the library.
	ErrInternal Status = C.ADCLICK_INTERNAL
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
