package adclick

// #include <adclick.h>
import "C"

import (
	"runtime"
	"time"
	"unsafe"
)

// LogOptions are how a log is kept. The zero value is the default.
type LogOptions struct {
	// NoThread: no thread of the library writes, only [Engine.DrainLog] does.
	NoThread bool
	// The share of requests whose slate is logged, 0 to 1: winners, other candidates, and the raw values behind the model's inputs.
	SlateShare float64
	// Records that can wait for the writer, of each scorer's decisions and of events; 0 = 8192.
	RingRecords uint32
	// The most candidates of a slate besides its winners; 0 = 32, 4294967295 = none.
	SlateCandidates uint32
	// The most raw values of a slate; 0 = 4096. A slate that has more is lost, and counted.
	SlateValues uint32
	// Slates that can wait for the writer, of each scorer; 0 = 8. By default each takes about 170,000 bytes.
	RingSlates uint32
	// The size at which a segment is closed, in MiB; 0 = 64.
	SegmentMiB uint32
	// The age at which a segment is closed; 0 = 300 seconds. Rounded up to seconds.
	SegmentAge time.Duration
	// The longest time after which what was written is synced; 0 = a second. Rounded up to milliseconds.
	Sync time.Duration
	// The input whose id is logged as the device; "" = "device_type".
	Device string
}

// OpenLog begins to log what the engine decides and the events that it is told, in a directory, which is made when it is not there.
// Scorers that exist log from now on, too. An engine has one log in its life; [Engine.Close] ends it.
func (e *Engine) OpenLog(directory string, options LogOptions) error {
	defer runtime.KeepAlive(e)
	raw := C.adclick_log_options{struct_size: C.sizeof_adclick_log_options}
	age, okAge := units(options.SegmentAge, time.Second)
	sync, okSync := units(options.Sync, time.Millisecond)
	if !okAge || !okSync || len(options.Device) >= len(raw.device) {
		return invalid("SegmentAge, Sync: expected 0 to 4,294,967,295 seconds or milliseconds; Device: up to 63 bytes")
	}
	if options.NoThread {
		raw.flags = C.ADCLICK_LOG_NO_THREAD
	}
	raw.slate_share = C.double(options.SlateShare)
	raw.ring_records = C.uint32_t(options.RingRecords)
	raw.slate_candidates = C.uint32_t(options.SlateCandidates)
	raw.slate_values = C.uint32_t(options.SlateValues)
	raw.ring_slates = C.uint32_t(options.RingSlates)
	raw.segment_mib = C.uint32_t(options.SegmentMiB)
	raw.segment_s, raw.sync_ms = age, sync
	for i := range len(options.Device) {
		raw.device[i] = C.char(options.Device[i])
	}
	why := newFailure()
	return toError(C.adclick_engine_log_open(e.handle, chars(directory), C.size_t(len(directory)), &raw, &why), &why)
}

// DrainLog writes and syncs all that waits in the log. With LogOptions.NoThread call it often.
func (e *Engine) DrainLog() error {
	defer runtime.KeepAlive(e)
	why := newFailure()
	return toError(C.adclick_log_drain(e.handle, &why), &why)
}

// LogState is the state of the log.
func (e *Engine) LogState() (LogState, error) {
	defer runtime.KeepAlive(e)
	state := LogState{structSize: C.sizeof_adclick_log_state}
	why := newFailure()
	status := C.adclick_engine_log_state(e.handle, (*C.adclick_log_state)(unsafe.Pointer(&state)), &why)
	if err := toError(status, &why); err != nil {
		return LogState{}, err
	}
	return state, nil
}

// LogError is why the last write or sync of the log failed; nil when it did not.
func (e *Engine) LogError() error {
	defer runtime.KeepAlive(e)
	why := newFailure()
	return toError(C.adclick_engine_log_error(e.handle, &why), &why)
}

// Seen is what an engine saw at once of an event.
type Seen uint32

// What may be wrong with an event. It is counted, and logged if there is a log, in any case.
const (
	// The impression id was not made with this engine's key.
	SeenForged Seen = C.ADCLICK_EVENT_FORGED
	// The impression id is older than Options.ImpressionMaxAge.
	SeenExpired Seen = C.ADCLICK_EVENT_EXPIRED
	// This engine recorded the same event before.
	SeenRepeated Seen = C.ADCLICK_EVENT_REPEATED
	// The event's time is earlier than its decision's by more than a minute.
	SeenEarly Seen = C.ADCLICK_EVENT_EARLY
)

// RecordImpression records that an ad was rendered. It says at once what is wrong with the event, as far as one server can see: 0 = nothing.
func (e *Engine) RecordImpression(event Event) (Seen, error) {
	defer runtime.KeepAlive(e)
	event.structSize = C.sizeof_adclick_event
	var seen C.uint32_t
	why := newFailure()
	status := C.adclick_engine_record_impression(e.handle, (*C.adclick_event)(unsafe.Pointer(&event)), &seen, &why)
	return Seen(seen), toError(status, &why)
}

// RecordViewable records that an ad was in view. It says at once what is wrong with the event, as far as one server can see: 0 = nothing.
func (e *Engine) RecordViewable(event Event) (Seen, error) {
	defer runtime.KeepAlive(e)
	event.structSize = C.sizeof_adclick_event
	var seen C.uint32_t
	why := newFailure()
	status := C.adclick_engine_record_viewable(e.handle, (*C.adclick_event)(unsafe.Pointer(&event)), &seen, &why)
	return Seen(seen), toError(status, &why)
}

// RecordClick records a click. It says at once what is wrong with the event, as far as one server can see: 0 = nothing.
func (e *Engine) RecordClick(event Event) (Seen, error) {
	defer runtime.KeepAlive(e)
	event.structSize = C.sizeof_adclick_event
	var seen C.uint32_t
	why := newFailure()
	status := C.adclick_engine_record_click(e.handle, (*C.adclick_event)(unsafe.Pointer(&event)), &seen, &why)
	return Seen(seen), toError(status, &why)
}

// RecordDwell records how long the user stayed after a click. It says at once what is wrong with the event, as far as one server can see: 0 = nothing.
func (e *Engine) RecordDwell(event Event) (Seen, error) {
	defer runtime.KeepAlive(e)
	event.structSize = C.sizeof_adclick_event
	var seen C.uint32_t
	why := newFailure()
	status := C.adclick_engine_record_dwell(e.handle, (*C.adclick_event)(unsafe.Pointer(&event)), &seen, &why)
	return Seen(seen), toError(status, &why)
}

// RecordConversion records a conversion. It says at once what is wrong with the event, as far as one server can see: 0 = nothing.
func (e *Engine) RecordConversion(event Event) (Seen, error) {
	defer runtime.KeepAlive(e)
	event.structSize = C.sizeof_adclick_event
	var seen C.uint32_t
	why := newFailure()
	status := C.adclick_engine_record_conversion(e.handle, (*C.adclick_event)(unsafe.Pointer(&event)), &seen, &why)
	return Seen(seen), toError(status, &why)
}

// RecordFeedback records what the user said of an ad. It says at once what is wrong with the event, as far as one server can see: 0 = nothing.
func (e *Engine) RecordFeedback(event Event) (Seen, error) {
	defer runtime.KeepAlive(e)
	event.structSize = C.sizeof_adclick_event
	var seen C.uint32_t
	why := newFailure()
	status := C.adclick_engine_record_feedback(e.handle, (*C.adclick_event)(unsafe.Pointer(&event)), &seen, &why)
	return Seen(seen), toError(status, &why)
}
