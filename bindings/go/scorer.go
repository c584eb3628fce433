package adclick

// #cgo noescape adclick_scorer_score_columns
// #cgo nocallback adclick_scorer_score_columns
// #cgo noescape adclick_scorer_score_dense
// #cgo nocallback adclick_scorer_score_dense
// #cgo noescape adclick_scorer_decide_columns
// #cgo nocallback adclick_scorer_decide_columns
// #cgo noescape adclick_scorer_explain
// #cgo nocallback adclick_scorer_explain
// #include <adclick.h>
import "C"

import (
	"math"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// Scorer is one caller's memory, sized once. It belongs to one goroutine at a time and may move between them; a call while
// another one is under way gives [ErrBusy]. A server keeps a [Pool].
type Scorer struct {
	handle *C.adclick_scorer
	// Lets one call at a time touch the scorer, so that it is not freed under a call: idle, busy or closed.
	state  atomic.Uint32
	pooled atomic.Bool // waits in its pool
	pool   *Pool
	engine *Engine // not closed by the garbage collector as long as the scorer is used
	// What calls pass besides the caller's slices, here so that nothing is allocated for a call.
	request Request
	columns C.adclick_columns
	auction AuctionOptions
	outcome Outcome
	winners C.uint32_t
	why     failure
	cleanup runtime.Cleanup
}

const (
	idle = iota
	busy
	closed
)

// NewScorer makes a scorer for up to maxCandidates candidates of one request, 1 to 1,048,576; 0 = 1024. All memory that its
// requests need is allocated here.
func (e *Engine) NewScorer(maxCandidates int) (*Scorer, error) {
	defer runtime.KeepAlive(e)
	if maxCandidates < 0 || !fits(maxCandidates) {
		return nil, invalid("maxCandidates: expected 1 to 1,048,576, or 0 for 1024")
	}
	options := C.adclick_scorer_options{
		struct_size:    C.sizeof_adclick_scorer_options,
		max_candidates: C.uint32_t(maxCandidates),
	}
	s := &Scorer{
		engine:  e,
		request: Request{structSize: C.sizeof_adclick_request},
		outcome: Outcome{structSize: C.sizeof_adclick_outcome},
		why:     newFailure(),
	}
	if err := toError(C.adclick_scorer_new(e.handle, &options, &s.handle, &s.why), &s.why); err != nil {
		return nil, err
	}
	s.cleanup = runtime.AddCleanup(s, func(handle *C.adclick_scorer) { C.adclick_scorer_free(handle) }, s.handle)
	return s, nil
}

// Close frees the scorer, before or after its engine is closed. A second Close does nothing. While another goroutine's call
// is under way it gives [ErrBusy] and frees nothing.
func (s *Scorer) Close() error {
	if err := s.begin(); err != nil {
		if err == errClosed {
			return nil
		}
		return err
	}
	s.cleanup.Stop()
	status := C.adclick_scorer_free(s.handle)
	if status != C.ADCLICK_OK {
		s.end()
		return &Error{Status(status), "freeing the scorer failed"}
	}
	s.state.Store(closed)
	return nil
}

var (
	errClosed error = &Error{ErrClosed, "the scorer was closed before"}
	errBusy   error = &Error{ErrBusy, "the scorer is in use by another call: give each goroutine its own"}
)

func (s *Scorer) begin() error {
	if s.state.CompareAndSwap(idle, busy) {
		return nil
	}
	if s.state.Load() == closed {
		return errClosed
	}
	return errBusy
}

func (s *Scorer) end() {
	s.state.Store(idle)
}

// The request as C takes it: counts and size are set from the slices.
func (s *Scorer) take(in *Input) error {
	if err := in.Columns.sized(&s.columns, len(in.Candidates)); err != nil {
		return err
	}
	return in.sized(&s.request)
}

var errNoRows error = &Error{ErrInvalidArgument, "Columns: expected a row of IDs and of Numbers for each candidate"}

// The counts of the columns.
func (c *ColumnValues) sized(counts *C.adclick_columns, candidates int) error {
	ids, numbers := len(c.IDFeatures), len(c.NumberFeatures)
	if !fits(ids) || !fits(numbers) {
		return errTooLong
	}
	if len(c.IDs) != ids*candidates || len(c.Numbers) != numbers*candidates {
		return errNoRows
	}
	*counts = C.adclick_columns{
		struct_size: C.sizeof_adclick_columns,
		n_ids:       C.uint32_t(ids),
		n_numbers:   C.uint32_t(numbers),
		missing_id:  C.uint64_t(c.MissingID),
	}
	if c.HasMissingID {
		counts.flags = C.ADCLICK_COLUMNS_MISSING_ID
	}
	return nil
}

// The request with its size and the counts of the slices.
func (in *Input) sized(request *Request) error {
	if !fits(len(in.Values)) || !fits(len(in.Candidates)) || !fits(len(in.CandidateValues)) {
		return errTooLong
	}
	*request = in.Request
	request.structSize = C.sizeof_adclick_request
	request.nValues = uint32(len(in.Values))
	request.nCandidates = uint32(len(in.Candidates))
	request.nCandidateValues = uint32(len(in.CandidateValues))
	request.candidateSize = C.sizeof_adclick_candidate
	request.winnerSize = C.sizeof_adclick_winner
	return nil
}

func (s *Scorer) rawRequest() *C.adclick_request {
	return (*C.adclick_request)(unsafe.Pointer(&s.request))
}

func (s *Scorer) rawOutcome() *C.adclick_outcome {
	return (*C.adclick_outcome)(unsafe.Pointer(&s.outcome))
}

func (s *Scorer) done(status C.adclick_status) (Outcome, error) {
	if status != C.ADCLICK_OK {
		return Outcome{}, toError(status, &s.why)
	}
	outcome := s.outcome
	outcome.Precision += Exact // the library counts from 0
	return outcome, nil
}

func valuesOf(values []Value) *C.adclick_value {
	return (*C.adclick_value)(unsafe.Pointer(unsafe.SliceData(values)))
}

func candidatesOf(candidates []Candidate) *C.adclick_candidate {
	return (*C.adclick_candidate)(unsafe.Pointer(unsafe.SliceData(candidates)))
}

func winnersOf(winners []Winner) *C.adclick_winner {
	return (*C.adclick_winner)(unsafe.Pointer(unsafe.SliceData(winners)))
}

func reasonsOf(reasons []Reason) *C.uint32_t {
	return (*C.uint32_t)(unsafe.Pointer(unsafe.SliceData(reasons)))
}

func handlesOf(handles []uint32) *C.uint32_t {
	return (*C.uint32_t)(unsafe.Pointer(unsafe.SliceData(handles)))
}

func idsOf(ids []uint64) *C.uint64_t {
	return (*C.uint64_t)(unsafe.Pointer(unsafe.SliceData(ids)))
}

func floatsOf(numbers []float32) *C.float {
	return (*C.float)(unsafe.Pointer(unsafe.SliceData(numbers)))
}

// An output that is nil is not wanted.
func perCandidate[T any](out []T, n int) bool {
	return out == nil || len(out) == n
}

// Score writes the calibrated probabilities of all candidates. pctr has an entry for each candidate, P(click |
// impression); pcvr as many, P(conversion | click), or is nil when it is not wanted. Without a pCTR head pctr is filled
// with NaN, without a pCVR head pcvr. Slots, DeadlineUS and the bids play no part.
func (s *Scorer) Score(in *Input, pctr, pcvr []float32) (Outcome, error) {
	if err := s.begin(); err != nil {
		return Outcome{}, err
	}
	defer s.end()
	if len(pctr) != len(in.Candidates) || !perCandidate(pcvr, len(in.Candidates)) {
		return Outcome{}, invalid("pctr and pcvr: expected one entry for each candidate")
	}
	if err := s.take(in); err != nil {
		return Outcome{}, err
	}
	return s.done(C.adclick_scorer_score_columns(s.handle, s.rawRequest(), valuesOf(in.Values), candidatesOf(in.Candidates),
		valuesOf(in.CandidateValues), &s.columns, handlesOf(in.Columns.IDFeatures), idsOf(in.Columns.IDs),
		handlesOf(in.Columns.NumberFeatures), floatsOf(in.Columns.Numbers), floatsOf(pctr), floatsOf(pcvr), s.rawOutcome(),
		&s.why))
}

// ScoreDense writes the calibrated probabilities of ready inputs: x has width numbers for each entry of pctr, row after
// row, columns in the order in which the schema declares its features (`adclick inspect` prints it). pctr and pcvr as in
// Score.
func (s *Scorer) ScoreDense(x []float32, width int, pctr, pcvr []float32) (Outcome, error) {
	if err := s.begin(); err != nil {
		return Outcome{}, err
	}
	defer s.end()
	n := len(pctr)
	if !perCandidate(pcvr, n) {
		return Outcome{}, invalid("pcvr: expected as many entries as pctr has")
	}
	// Neither factor is over 32 bits, so the product fits.
	if width < 0 || width > math.MaxInt32 || n > math.MaxInt32 || len(x) != n*width {
		return Outcome{}, invalid("x: expected width numbers for each entry of pctr")
	}
	return s.done(C.adclick_scorer_score_dense(s.handle, floatsOf(x), C.uint32_t(n), C.uint32_t(width), floatsOf(pctr),
		floatsOf(pcvr), s.rawOutcome(), &s.why))
}

// Decide goes the whole way: it scores the candidates, calibrates, runs the auction by the generation's policy, and writes
// the winners, best slot first. winners has at least min(Slots, candidates) entries; those past Outcome.Winners are left
// alone. reasons has an entry for each candidate, or is nil when it is not wanted. With DeadlineUS, candidates not scored
// in time are cut: they take no part and are counted; the first few are always scored.
func (s *Scorer) Decide(in *Input, winners []Winner, reasons []Reason) (Outcome, error) {
	if err := s.begin(); err != nil {
		return Outcome{}, err
	}
	defer s.end()
	if !perCandidate(reasons, len(in.Candidates)) {
		return Outcome{}, invalid("reasons: expected one entry for each candidate")
	}
	if !fits(len(winners)) {
		return Outcome{}, errTooLong
	}
	if err := s.take(in); err != nil {
		return Outcome{}, err
	}
	return s.done(C.adclick_scorer_decide_columns(s.handle, s.rawRequest(), valuesOf(in.Values), candidatesOf(in.Candidates),
		valuesOf(in.CandidateValues), &s.columns, handlesOf(in.Columns.IDFeatures), idsOf(in.Columns.IDs),
		handlesOf(in.Columns.NumberFeatures), floatsOf(in.Columns.Numbers), winnersOf(winners), C.uint32_t(len(winners)),
		reasonsOf(reasons), s.rawOutcome(), &s.why))
}

// Explain tells what the scorer's last decision found of the candidate with this index: logits, probabilities, multipliers, rank
// score, reserve, place and reason. It fills explanation and allocates nothing. The scorer keeps a decision until its next call,
// whatever that is. An error says that the last call was no decision or failed, that it had no such candidate, or that the
// generation which decided is no longer live.
func (s *Scorer) Explain(candidate int, explanation *Explanation) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.end()
	if candidate < 0 || !fits(candidate) {
		return invalid("candidate: expected an index of the last decision's candidates")
	}
	explanation.structSize = C.sizeof_adclick_explanation
	told := (*C.adclick_explanation)(unsafe.Pointer(explanation))
	return toError(C.adclick_scorer_explain(s.handle, C.uint32_t(candidate), told, &s.why), &s.why)
}
