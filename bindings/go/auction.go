package adclick

// #cgo noescape adclick_auction_run
// #cgo nocallback adclick_auction_run
// #include <adclick.h>
import "C"

import "unsafe"

// RunAuction runs one auction on candidates whose probabilities the caller has, and returns how many of winners it wrote,
// best slot first. Their ImpressionID is 0; the values that candidates refer to play no part. pctr has an entry for each
// candidate; pcvr too, NaN where one is missing, or is nil; winners and reasons as in Decide. It uses the scorer's memory
// and allocates nothing; the scorer's engine may be closed.
func (s *Scorer) RunAuction(options AuctionOptions, candidates []Candidate, pctr, pcvr []float32, winners []Winner,
	reasons []Reason) (int, error) {
	if err := s.begin(); err != nil {
		return 0, err
	}
	defer s.end()
	s.auction = options
	return runAuction(s.handle, &s.auction, candidates, pctr, pcvr, winners, reasons, &s.winners, &s.why)
}

// RunAuction is [Scorer.RunAuction] without a scorer: it allocates what it needs, and any goroutine may call it.
func RunAuction(options AuctionOptions, candidates []Candidate, pctr, pcvr []float32, winners []Winner,
	reasons []Reason) (int, error) {
	var n C.uint32_t
	why := newFailure()
	return runAuction(nil, &options, candidates, pctr, pcvr, winners, reasons, &n, &why)
}

func runAuction(memory *C.adclick_scorer, options *AuctionOptions, candidates []Candidate, pctr, pcvr []float32,
	winners []Winner, reasons []Reason, n *C.uint32_t, why *failure) (int, error) {
	count := len(candidates)
	if !fits(count) || !fits(len(winners)) {
		return 0, errTooLong
	}
	if len(pctr) != count || !perCandidate(pcvr, count) || !perCandidate(reasons, count) {
		return 0, invalid("pctr, pcvr and reasons: expected one entry for each candidate")
	}
	options.structSize = C.sizeof_adclick_auction_options
	options.candidateSize = C.sizeof_adclick_candidate
	options.winnerSize = C.sizeof_adclick_winner
	status := C.adclick_auction_run(memory, options.raw(), candidatesOf(candidates), floatsOf(pctr), floatsOf(pcvr),
		C.uint32_t(count), winnersOf(winners), C.uint32_t(len(winners)), reasonsOf(reasons), n, why)
	if err := toError(status, why); err != nil {
		return 0, err
	}
	return int(*n), nil
}

func (o *AuctionOptions) raw() *C.adclick_auction_options {
	return (*C.adclick_auction_options)(unsafe.Pointer(o))
}

// Carry bills single impressions at prices per 1000 and carries what is left over, so that nothing is lost. Keep one for each
// account that is billed; its number, thousandths of a micro, is what to store of it.
type Carry uint32

// Bill is what to bill for one impression at this price per 1000, in micros; 0 for a price under 0.
func (c *Carry) Bill(priceMicros int64) int64 {
	if priceMicros < 0 {
		return 0
	}
	thousandths := int64(*c) + priceMicros%1000
	*c = Carry(thousandths % 1000)
	return priceMicros/1000 + thousandths/1000
}
