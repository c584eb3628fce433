package adclick

// #include <adclick.h>
import "C"

import (
	"errors"
	"runtime"
	"slices"
	"unsafe"
)

// Model is the live model in figures.
type Model struct {
	// The generation's id.
	Generation uint64
	// Columns of a ready input, for [Scorer.ScoreDense], and of them those of the request.
	Width, RequestWidth int
	// Whether it predicts conversions too.
	HasPCVR bool
	// Whether it has a wide part, which ready inputs cannot carry.
	HasWide bool
	// Inputs, features (several may read one input), and tables that it reads.
	Inputs, Features, Tables int
}

// ModelInput is an input of the live model.
type ModelInput struct {
	// The name that [Engine.Feature] takes, and its handle.
	Name    string
	Feature uint32
	Side    Side
	Kind    ValueKind
	// Positions of a vector; else 1.
	Dim     int
	Reading Reading
	Source  Source
	// For ReadTable: the column, such as "users.age", or "dot(…)" or "cosine(…)" of two columns.
	From string
	// Replaces a missing value, or is the value to which the input is fixed; nil when the input has no such number.
	DefaultNumber *float32
	DefaultID     *uint64
}

// Model tells of the live model in figures.
func (e *Engine) Model() (Model, error) {
	defer runtime.KeepAlive(e)
	raw := C.adclick_model{struct_size: C.sizeof_adclick_model}
	why := newFailure()
	if err := toError(C.adclick_engine_model(e.handle, &raw, &why), &why); err != nil {
		return Model{}, err
	}
	return Model{
		Generation:   uint64(raw.generation),
		Width:        int(raw.width),
		RequestWidth: int(raw.request_width),
		HasPCVR:      raw.n_heads > 1,
		HasWide:      raw.flags&C.ADCLICK_MODEL_WIDE != 0,
		Inputs:       int(raw.n_inputs),
		Features:     int(raw.n_features),
		Tables:       int(raw.n_tables),
	}, nil
}

// Inputs lists what the live model reads: under which names values are passed, with the request or with candidates, what they
// are, and where they come from when they are not passed. Values that are passed win over tables.
func (e *Engine) Inputs() ([]ModelInput, error) {
	defer runtime.KeepAlive(e)
again:
	model, err := e.Model()
	if err != nil {
		return nil, err
	}
	all := make([]ModelInput, 0, model.Inputs)
	for i := range model.Inputs {
		raw := C.adclick_model_input{struct_size: C.sizeof_adclick_model_input}
		why := newFailure()
		err := toError(C.adclick_engine_model_input(e.handle, C.uint32_t(i), &raw, &why), &why)
		if errors.Is(err, ErrInvalidArgument) || err == nil && uint64(raw.generation) != model.Generation {
			// Another generation went live, with other inputs.
			goto again
		}
		if err != nil {
			return nil, err
		}
		input := ModelInput{
			Name:    C.GoString(&raw.name[0]),
			Feature: uint32(raw.feature),
			Side:    Side(raw.side),
			Kind:    ValueKind(raw.kind),
			Dim:     int(raw.dim),
			Reading: Reading(raw.reading),
			Source:  Source(raw.source),
			From:    C.GoString(&raw.from[0]),
		}
		if raw.flags&C.ADCLICK_INPUT_NUMBER != 0 {
			number := float32(raw.default_number)
			input.DefaultNumber = &number
		}
		if raw.flags&C.ADCLICK_INPUT_ID != 0 {
			id := uint64(raw.default_id)
			input.DefaultID = &id
		}
		all = append(all, input)
	}
	return all, nil
}

// Check is what [Engine.Check] found: how many values, or for Missing and NoKey requests and candidates, have each fault.
type Check struct {
	// The generation that the request was checked against.
	Generation uint64
	// A line for each fault of each input, by name, errors first; "" when there is none.
	Text string
	// Lines of Text, and of them errors: faults of the first five kinds. Serve no traffic before there are none.
	Problems, Errors int

	// Values that the model does not read at all, reads from the other side, or reads as something else; positions that a
	// vector does not have; NaN and infinity.
	Unknown, WrongSide, WrongKind, OutOfRange, NotFinite int
	// Values of times and fixed positions; ids that the model does not know; values more than one of an input that reads one;
	// inputs that nobody gives; ids of 0 in the keys of tables. These may be as they should.
	NeverRead, UnknownIDs, Repeated, Missing, NoKey int
}

// Check tells what is wrong with a request for the live model. A server asks once, at start, with a request as it makes them:
// scoring only counts what it has no use for ([Outcome].Missing, [Outcome].WrongSide), because requests must outlive a swap to a
// model that reads other inputs. The error is of the call; faults of the request are none.
func (e *Engine) Check(in *Input) (Check, error) {
	defer runtime.KeepAlive(e)
	var request Request
	if err := in.sized(&request); err != nil {
		return Check{}, err
	}
	var columns C.adclick_columns
	if err := in.Columns.sized(&columns, len(in.Candidates)); err != nil {
		return Check{}, err
	}
	raw := C.adclick_check{struct_size: C.sizeof_adclick_check}
	text := make([]byte, 0, 4096)
	for {
		why := newFailure()
		var length C.size_t
		status := C.adclick_engine_check_columns(e.handle, (*C.adclick_request)(unsafe.Pointer(&request)), valuesOf(in.Values),
			candidatesOf(in.Candidates), valuesOf(in.CandidateValues), &columns, handlesOf(in.Columns.IDFeatures),
			idsOf(in.Columns.IDs), handlesOf(in.Columns.NumberFeatures), floatsOf(in.Columns.Numbers), &raw,
			(*C.char)(unsafe.Pointer(unsafe.SliceData(text))), C.size_t(cap(text)), &length, &why)
		if status == C.ADCLICK_BUFFER_TOO_SMALL {
			text = slices.Grow(text, int(length))
			continue
		}
		if err := toError(status, &why); err != nil {
			return Check{}, err
		}
		return Check{
			Generation: uint64(raw.generation),
			Text:       string(text[:length]),
			Problems:   int(raw.n_problems),
			Errors:     int(raw.n_errors),
			Unknown:    int(raw.n_unknown),
			WrongSide:  int(raw.n_wrong_side),
			WrongKind:  int(raw.n_wrong_kind),
			OutOfRange: int(raw.n_out_of_range),
			NotFinite:  int(raw.n_not_finite),
			NeverRead:  int(raw.n_never_read),
			UnknownIDs: int(raw.n_unknown_ids),
			Repeated:   int(raw.n_repeated),
			Missing:    int(raw.n_missing),
			NoKey:      int(raw.n_no_key),
		}, nil
	}
}

// InputError names the inputs of which requests passed values with the wrong side since the live generation was opened, with
// [ErrInvalidValue]; nil when none did. Such values are ignored. For the health check of a server.
func (e *Engine) InputError() error {
	defer runtime.KeepAlive(e)
	why := newFailure()
	return toError(C.adclick_engine_input_error(e.handle, &why), &why)
}
