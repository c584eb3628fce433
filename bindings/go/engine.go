package adclick

// #include <adclick.h>
import "C"

import (
	"math"
	"runtime"
	"slices"
	"time"
	"unsafe"
)

// Engine owns the live generation. Every call may be made at any time from any goroutine.
type Engine struct {
	// A number that the library looks up, and no address. The type is incomplete in C, so the garbage collector leaves
	// pointers to it alone.
	handle  *C.adclick_engine
	cleanup runtime.Cleanup
}

// Open opens an engine on a bundle directory, or on a directory that holds bundles and CURRENT. The bundle is checked whole
// (manifest, checksums, every shape and count, golden requests) before the call returns.
func Open(path string, options Options) (*Engine, error) {
	raw, err := options.raw()
	if err != nil {
		return nil, err
	}
	if C.adclick_abi_version() < C.ADCLICK_ABI_VERSION {
		return nil, &Error{ErrUnsupported, "the linked library is older than the header that this program was compiled with"}
	}
	e := &Engine{}
	why := newFailure()
	if err := toError(C.adclick_engine_open(chars(path), C.size_t(len(path)), &raw, &e.handle, &why), &why); err != nil {
		return nil, err
	}
	e.cleanup = runtime.AddCleanup(e, func(handle *C.adclick_engine) { C.adclick_engine_close(handle) }, e.handle)
	return e, nil
}

// The duration in whole units, rounded up, so that a short one does not become 0.
func units(d, unit time.Duration) (C.uint32_t, bool) {
	n := d / unit
	if d%unit > 0 {
		n++
	}
	return C.uint32_t(n), d >= 0 && n <= math.MaxUint32
}

func chars(text string) *C.char {
	return (*C.char)(unsafe.Pointer(unsafe.StringData(text)))
}

// Close closes the engine. Calls under way on scorers end well; calls that begin afterwards give [ErrClosed]. A second
// Close does nothing. It waits for the following thread, and up to a second for calls under way.
func (e *Engine) Close() error {
	e.cleanup.Stop()
	status := C.adclick_engine_close(e.handle)
	if status == C.ADCLICK_OK || status == C.ADCLICK_CLOSED {
		return nil
	}
	return &Error{Status(status), "closing the engine failed"}
}

// CloseWithin is Close in at most so long, rounded up to milliseconds. [ErrBusy] says that something goes on after that time,
// and what: the following thread in the middle of a bundle, or calls under way. The engine is closed all the same.
func (e *Engine) CloseWithin(timeout time.Duration) error {
	most, ok := units(timeout, time.Millisecond)
	if !ok {
		return invalid("timeout: expected 0 to 4,294,967,295 milliseconds")
	}
	e.cleanup.Stop()
	why := newFailure()
	status := C.adclick_engine_close_within(e.handle, most, &why)
	if status == C.ADCLICK_CLOSED {
		return nil
	}
	return toError(status, &why)
}

// Stage opens and checks a bundle, as Open does, without making it live. What is live stays as it is, also on failure. It
// reads files, so it is not for a request's path.
func (e *Engine) Stage(path string) (*Staged, error) {
	defer runtime.KeepAlive(e)
	s := &Staged{engine: e}
	why := newFailure()
	status := C.adclick_engine_stage(e.handle, chars(path), C.size_t(len(path)), &s.handle, &why)
	if err := toError(status, &why); err != nil {
		return nil, err
	}
	s.cleanup = runtime.AddCleanup(s, func(handle *C.adclick_staged) { C.adclick_staged_discard(handle) }, s.handle)
	return s, nil
}

// Staged is a generation that was opened and checked and is not live yet.
type Staged struct {
	handle  *C.adclick_staged // a number too
	engine  *Engine
	cleanup runtime.Cleanup
}

// Generation is the id that it will have.
func (s *Staged) Generation() (generation uint64, err error) {
	defer runtime.KeepAlive(s)
	why := newFailure()
	status := C.adclick_staged_generation(s.handle, (*C.uint64_t)(&generation), &why)
	return generation, toError(status, &why)
}

// Activate makes it live by one pointer swap and returns its id: calls that begin from now on see it, calls under way end
// with the one that they began with. The one before is kept for [Engine.Rollback]. It uses the staged generation up,
// whatever the result.
func (s *Staged) Activate() (generation uint64, err error) {
	defer runtime.KeepAlive(s)
	s.cleanup.Stop()
	why := newFailure()
	status := C.adclick_staged_activate(s.handle, (*C.uint64_t)(&generation), &why)
	return generation, toError(status, &why)
}

// Close drops a staged generation that was not activated; otherwise it does nothing.
func (s *Staged) Close() error {
	defer runtime.KeepAlive(s)
	s.cleanup.Stop()
	status := C.adclick_staged_discard(s.handle)
	if status == C.ADCLICK_OK || status == C.ADCLICK_CLOSED {
		return nil
	}
	return &Error{Status(status), "discarding the staged generation failed"}
}

// Rollback goes back to the generation before the last activation and returns its id. One earlier generation is kept, and
// a rollback uses it up; without one it gives [ErrNoPrevious].
func (e *Engine) Rollback() (generation uint64, err error) {
	defer runtime.KeepAlive(e)
	why := newFailure()
	status := C.adclick_engine_rollback(e.handle, (*C.uint64_t)(&generation), &why)
	return generation, toError(status, &why)
}

// Poll looks at CURRENT now. When it names another bundle than at the last look, it is staged and activated. It returns the
// id of the generation that was activated, 0 when there is nothing new. It reads files, so it is not for a request's path.
func (e *Engine) Poll() (generation uint64, err error) {
	defer runtime.KeepAlive(e)
	why := newFailure()
	status := C.adclick_engine_poll(e.handle, (*C.uint64_t)(&generation), &why)
	return generation, toError(status, &why)
}

// FollowError says why the last look at CURRENT failed; nil when it did not. For the health check of a server that
// follows: what is live serves on, and the next look tries again.
func (e *Engine) FollowError() error {
	defer runtime.KeepAlive(e)
	why := newFailure()
	return toError(C.adclick_engine_follow_error(e.handle, &why), &why)
}

// FollowState is what became of an engine's generations. Counters never go back, so that a change tells of what happened since
// they were read.
type FollowState struct {
	// Whether a thread of the library's own looks at CURRENT.
	Follows bool
	// The live generation, and when it became live here.
	Generation uint64
	Activated  time.Time
	// When CURRENT was last looked at; the zero time when never.
	Looked time.Time
	// Looks at CURRENT, by Poll too, and of them those that failed.
	Looks, FailedLooks uint64
	// Generations that became live after the first, and returns to the one before.
	Activations, Rollbacks uint64
	// The status of the last look that failed, 0 when it did not; [Engine.FollowError] has the message.
	Status Status
}

// FollowState tells what following came to so far. Look now and then; nothing calls back.
func (e *Engine) FollowState() (FollowState, error) {
	defer runtime.KeepAlive(e)
	raw := C.adclick_follow_state{struct_size: C.sizeof_adclick_follow_state}
	why := newFailure()
	if err := toError(C.adclick_engine_follow_state(e.handle, &raw, &why), &why); err != nil {
		return FollowState{}, err
	}
	state := FollowState{
		Follows:     raw.follows != 0,
		Generation:  uint64(raw.generation),
		Activated:   time.UnixMicro(int64(raw.activated_us)),
		Looks:       uint64(raw.looks),
		FailedLooks: uint64(raw.failed_looks),
		Activations: uint64(raw.activations),
		Rollbacks:   uint64(raw.rollbacks),
		Status:      Status(raw.status),
	}
	if raw.looked_us != 0 {
		state.Looked = time.UnixMicro(int64(raw.looked_us))
	}
	return state, nil
}

// PrecisionError says why the live generation is served in exact precision although another was asked for; nil when it is
// not. Of one request, [Outcome].Precision tells what it was computed in.
func (e *Engine) PrecisionError() error {
	defer runtime.KeepAlive(e)
	why := newFailure()
	return toError(C.adclick_engine_precision_error(e.handle, &why), &why)
}

// AdCache is the ad cache of the live generation, or what it would take: also of an engine that has none.
func (e *Engine) AdCache() (AdCache, error) {
	defer runtime.KeepAlive(e)
	cache := AdCache{structSize: C.sizeof_adclick_ad_cache}
	why := newFailure()
	status := C.adclick_engine_ad_cache(e.handle, (*C.adclick_ad_cache)(unsafe.Pointer(&cache)), &why)
	if err := toError(status, &why); err != nil {
		return AdCache{}, err
	}
	return cache, nil
}

// Generation is the id of the live generation: the hash of its bundle's content, the same on every machine. Of one
// request, [Outcome].Generation tells it.
func (e *Engine) Generation() (generation uint64, err error) {
	defer runtime.KeepAlive(e)
	why := newFailure()
	status := C.adclick_engine_generation(e.handle, (*C.uint64_t)(&generation), &why)
	return generation, toError(status, &why)
}

// Feature is the handle of a feature's input name, for [Value].Feature. It lasts as long as the engine, whichever
// generation is live: get handles once, at start. A name that no model uses gets one too; its values are ignored and
// counted in [Outcome].Missing until a model does.
func (e *Engine) Feature(name string) (handle uint32, err error) {
	defer runtime.KeepAlive(e)
	why := newFailure()
	status := C.adclick_engine_feature(e.handle, chars(name), C.size_t(len(name)), (*C.uint32_t)(&handle), &why)
	return handle, toError(status, &why)
}

// AppendMetrics appends what the engine and its scorers counted to text, in Prometheus' text format 0.0.4, for the answer to
// GET /metrics. It stops nobody. 64 KB are room enough for 20 tables; with less the text is grown. docs/operations.md says
// what each metric means.
func (e *Engine) AppendMetrics(text []byte) ([]byte, error) {
	defer runtime.KeepAlive(e)
	why := newFailure()
	for {
		room := text[len(text):cap(text)]
		var length C.size_t
		status := C.adclick_engine_metrics(e.handle, (*C.char)(unsafe.Pointer(unsafe.SliceData(room))),
			C.size_t(len(room)), &length, &why)
		if status == C.ADCLICK_BUFFER_TOO_SMALL {
			text = slices.Grow(text, int(length)+1024) // the next text may be a little longer
			continue
		}
		if err := toError(status, &why); err != nil {
			return text, err
		}
		return text[:len(text)+int(length)], nil
	}
}

// Kernel is the name of the instruction set that the engine uses: "avx512", "avx2" or "portable"; "" when it is closed.
func (e *Engine) Kernel() string {
	defer runtime.KeepAlive(e)
	if e.handle == nil {
		return ""
	}
	return C.GoString(C.adclick_kernel(e.handle))
}
