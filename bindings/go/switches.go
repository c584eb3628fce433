package adclick

// #include <adclick.h>
import "C"

import "runtime"

// Switch turns an ad, a campaign or an advertiser off in decisions, for a reason of the caller's (1 = the budget is spent, say), or on
// again with the reason 0. Every decision that begins after it returned sees it, in any goroutine, and it outlives new generations; a
// new engine begins with everything on. A candidate that is off loses for [ReasonSwitchedOff]. It fails when [Options].SwitchKeys of
// the kind are off: then this one stays on.
func (e *Engine) Switch(kind SwitchKind, key uint64, reason uint32) error {
	defer runtime.KeepAlive(e)
	why := newFailure()
	status := C.adclick_engine_switch(e.handle, C.uint32_t(kind), C.uint64_t(key), C.uint32_t(reason), &why)
	return toError(status, &why)
}

// Switched is why an ad, a campaign or an advertiser is off; 0: it is on.
func (e *Engine) Switched(kind SwitchKind, key uint64) (reason uint32, err error) {
	defer runtime.KeepAlive(e)
	why := newFailure()
	status := C.adclick_engine_switched(e.handle, C.uint32_t(kind), C.uint64_t(key), (*C.uint32_t)(&reason), &why)
	return reason, toError(status, &why)
}
