package adclick

// #include <adclick.h>
import "C"

import (
	"runtime"
	"unsafe"
)

// Operation says what an [Upsert] does with the columns that it is given.
type Operation uint32

const (
	// Columns replaces them; the row's other columns stay.
	Columns Operation = 0
	// Increment adds to what they hold.
	Increment Operation = C.ADCLICK_UPSERT_INCREMENT
	// WholeRow replaces the row; columns that are not given become missing.
	WholeRow Operation = C.ADCLICK_UPSERT_WHOLE_ROW
)

// String is the operation's name.
func (o Operation) String() string {
	return nameOf(o, "Operation", "columns", "increment", "whole row")
}

// Upsert is what [Engine.Upsert] writes and where.
type Upsert struct {
	// The table's handle ([Engine.Table]).
	Table     uint32
	Operation Operation
	// When the values were right: microseconds since 1970-01-01 00:00 UTC, no further ahead of the clock than
	// [Options].OverlayMaxSkew; 0 = now.
	TimeUS int64
	Rows   []Row
	// The values of all rows; Feature is a column's handle ([Engine.Column]), and the values of one column stand together.
	Values []Value
}

// Table is the handle of a table's name. It lasts as long as the engine; a name that no bundle has gets one too.
func (e *Engine) Table(name string) (handle uint32, err error) {
	defer runtime.KeepAlive(e)
	why := newFailure()
	status := C.adclick_engine_table(e.handle, chars(name), C.size_t(len(name)), (*C.uint32_t)(&handle), &why)
	return handle, toError(status, &why)
}

// Column is the handle of a column of a table, for [Value].Feature in an upsert. Features have handles of their own.
func (e *Engine) Column(table uint32, name string) (handle uint32, err error) {
	defer runtime.KeepAlive(e)
	why := newFailure()
	status := C.adclick_engine_column(e.handle, C.uint32_t(table), chars(name), C.size_t(len(name)),
		(*C.uint32_t)(&handle), &why)
	return handle, toError(status, &why)
}

// Upsert writes rows on top of a table of the live generation, for what is known before the next bundle. Requests that
// begin afterwards see them. All rows are checked before the first is written; then each appears whole, one by one, in
// order. An error names the row and the value, and nothing was written. It takes locks and allocates, so it is not for a
// request's path. docs/c-api.md says how times, increments and room work.
func (e *Engine) Upsert(u Upsert) (UpsertResult, error) {
	defer runtime.KeepAlive(e)
	if !fits(len(u.Rows)) || !fits(len(u.Values)) {
		return UpsertResult{}, errTooLong
	}
	raw := C.adclick_upsert{
		struct_size: C.sizeof_adclick_upsert,
		flags:       C.uint32_t(u.Operation),
		table:       C.uint32_t(u.Table),
		n_rows:      C.uint32_t(len(u.Rows)),
		n_values:    C.uint32_t(len(u.Values)),
		time_us:     C.int64_t(u.TimeUS),
	}
	done := UpsertResult{structSize: C.sizeof_adclick_upsert_result}
	why := newFailure()
	status := C.adclick_engine_upsert(e.handle, &raw, (*C.adclick_row)(unsafe.Pointer(unsafe.SliceData(u.Rows))),
		valuesOf(u.Values), (*C.adclick_upsert_result)(unsafe.Pointer(&done)), &why)
	if err := toError(status, &why); err != nil {
		return UpsertResult{}, err
	}
	return done, nil
}

// RemoveRows takes the rows of these keys off a table of the live generation that were written on top of it, and returns how
// many there were. What the table itself holds counts again for requests that begin afterwards.
func (e *Engine) RemoveRows(table uint32, keys ...uint64) (removed uint64, err error) {
	defer runtime.KeepAlive(e)
	why := newFailure()
	status := C.adclick_engine_remove_rows(e.handle, C.uint32_t(table),
		(*C.uint64_t)(unsafe.Pointer(unsafe.SliceData(keys))), C.size_t(len(keys)), (*C.uint64_t)(&removed), &why)
	return removed, toError(status, &why)
}

// ClearRows takes all rows off a table, as [Engine.RemoveRows]. Rows that are written meanwhile may stay.
func (e *Engine) ClearRows(table uint32) (removed uint64, err error) {
	defer runtime.KeepAlive(e)
	why := newFailure()
	status := C.adclick_engine_clear_rows(e.handle, C.uint32_t(table), (*C.uint64_t)(&removed), &why)
	return removed, toError(status, &why)
}

// TableInfo describes a table of the live generation.
func (e *Engine) TableInfo(table uint32) (TableInfo, error) {
	defer runtime.KeepAlive(e)
	info := TableInfo{structSize: C.sizeof_adclick_table_info}
	why := newFailure()
	status := C.adclick_engine_table_info(e.handle, C.uint32_t(table),
		(*C.adclick_table_info)(unsafe.Pointer(&info)), &why)
	if err := toError(status, &why); err != nil {
		return TableInfo{}, err
	}
	return info, nil
}
