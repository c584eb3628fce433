package adclick_test

import (
	"errors"
	"math"
	"runtime"
	"slices"
	"testing"

	"adclick.io/adclick"
)

func TestDecideIsScoreAndAuction(t *testing.T) {
	const n = 50
	engine := open(t, bundle, adclick.Options{})
	scorer := newScorer(t, engine, n)
	in := inputOf(t, engine, n)
	in.Request.Slots = 3
	in.Candidates[7].BidMicros = -1
	in.Candidates[8].ReserveMicros = 9_000_000

	winners, reasons := make([]adclick.Winner, 5), make([]adclick.Reason, n)
	winners[3].Candidate = 12345
	outcome := must[adclick.Outcome](t)(scorer.Decide(in, winners, reasons))
	if outcome.Winners != 3 || outcome.Scored != n || outcome.Cut != 0 || outcome.Precision != adclick.Exact ||
		outcome.Generation != must[uint64](t)(engine.Generation()) {
		t.Errorf("%+v", outcome)
	}
	if winners[3].Candidate != 12345 {
		t.Error("an entry past the winners was written")
	}
	if reasons[7] != adclick.ReasonInvalidBid || reasons[8] != adclick.ReasonBelowReserve {
		t.Errorf("reasons %v and %v", reasons[7], reasons[8])
	}

	var told adclick.Explanation
	for i := range n {
		if err := scorer.Explain(i, &told); err != nil || told.Reason != reasons[i] || told.Candidate != uint32(i) {
			t.Fatalf("candidate %d, which is %v: %+v, %v", i, reasons[i], told, err)
		}
	}
	winner := winners[1]
	if err := scorer.Explain(int(winner.Candidate), &told); err != nil || told.Score != winner.Score || told.Slot != 1 ||
		told.PCTR != winner.PCTR || told.Rank != winner.Rank || told.ReserveMicros != winner.ReserveMicros {
		t.Errorf("%+v, %v of the winner %+v", told, err, winner)
	}
	for _, index := range []int{-1, n, math.MaxInt} {
		if err := scorer.Explain(index, &told); !errors.Is(err, adclick.ErrInvalidArgument) {
			t.Errorf("candidate %d: %v", index, err)
		}
	}

	pctr, pcvr := make([]float32, n), make([]float32, n)
	scored := must[adclick.Outcome](t)(scorer.Score(in, pctr, pcvr))
	if scored.Winners != 0 || scored.Scored != n || scored.Missing != outcome.Missing {
		t.Errorf("%+v", scored)
	}
	if !math.IsNaN(float64(pcvr[0])) {
		t.Errorf("pCVR %v of a model without that head", pcvr[0])
	}
	if err := scorer.Explain(0, &told); !errors.Is(err, adclick.ErrInvalidArgument) {
		t.Errorf("a score was explained: %v", err)
	}
	alone, again := make([]adclick.Winner, 3), make([]adclick.Reason, n)
	for name, run := range map[string]func(adclick.AuctionOptions, []adclick.Candidate, []float32, []float32,
		[]adclick.Winner, []adclick.Reason) (int, error){
		"with a scorer": scorer.RunAuction, "without": adclick.RunAuction,
	} {
		if got := must[int](t)(run(adclick.AuctionOptions{Slots: 3}, in.Candidates, pctr, nil, alone, again)); got != 3 {
			t.Errorf("%s: %d winners", name, got)
		}
		if !slices.Equal(reasons, again) {
			t.Errorf("%s: reasons %v, expected %v", name, again, reasons)
		}
		for i, winner := range winners[:outcome.Winners] {
			// The auction alone makes no impression id and has other bits for a missing pCVR.
			alone[i].ImpressionID, alone[i].ImpressionIDHigh = winner.ImpressionID, winner.ImpressionIDHigh
			alone[i].PCVR, winner.PCVR = 0, 0
			if alone[i] != winner {
				t.Errorf("%s: winner %d is %+v, expected %+v", name, i, alone[i], winner)
			}
			if winner.PCTR != pctr[winner.Candidate] || winner.Slot != uint32(i) || winner.ImpressionID == 0 {
				t.Errorf("%+v; pCTR %v", winner, pctr[winner.Candidate])
			}
			bid := in.Candidates[winner.Candidate].BidMicros
			if winner.PriceMicros < 50_000 || winner.PriceMicros > bid {
				t.Errorf("price %d, bid %d", winner.PriceMicros, bid)
			}
		}
	}
}

func TestValuesOfCandidates(t *testing.T) {
	engine := open(t, bundle, adclick.Options{})
	scorer := newScorer(t, engine, 3)
	in := inputOf(t, engine, 3)
	for i := range in.Candidates {
		in.Candidates[i].AdKey = adclick.Hash("a1")
		in.Candidates[i].AdvertiserKey = adclick.Hash("acme")
	}
	// What is passed wins over the table. The second candidate has a value of its own.
	rate := must[uint32](t)(engine.Feature("ad_ctr_7d"))
	in.CandidateValues = []adclick.Value{{Feature: rate, Number: 0.5}, {Feature: rate, Number: 0.09}}
	in.Candidates[1].FirstValue, in.Candidates[1].NumValues = 1, 1
	pctr := make([]float32, 3)
	must[adclick.Outcome](t)(scorer.Score(in, pctr, nil))
	if pctr[0] != pctr[2] || pctr[1] <= pctr[0] || pctr[1] > 0.9 {
		t.Errorf("pCTR %v", pctr)
	}
	in.Candidates[1].NumValues = 2
	_, err := scorer.Score(in, pctr, nil)
	expect(t, "values past the end", err, adclick.ErrInvalidArgument)
}

func TestScoreDense(t *testing.T) {
	const width = 29
	engine := open(t, bundle, adclick.Options{})
	scorer := newScorer(t, engine, 2)
	x := make([]float32, 2*width)
	x[width] = 0.5 // user_ctr_7d, whose weight is 12
	pctr := make([]float32, 2)
	outcome := must[adclick.Outcome](t)(scorer.ScoreDense(x, width, pctr, nil))
	if outcome.Scored != 2 {
		t.Errorf("%+v", outcome)
	}
	for i, logit := range []float64{-5, 1} {
		if want := 1 / (1 + math.Exp(-logit)); math.Abs(float64(pctr[i])-want) > 1e-6 {
			t.Errorf("row %d: pCTR %v, expected %v", i, pctr[i], want)
		}
	}
	_, err := scorer.ScoreDense(x, width-1, pctr, nil)
	expect(t, "rows of another length", err, adclick.ErrInvalidArgument)
	_, err = scorer.ScoreDense(x[:56], 28, pctr, nil)
	expect(t, "another model's width", err, adclick.ErrInvalidArgument)
	_, err = scorer.ScoreDense(nil, -1, nil, nil)
	expect(t, "a negative width", err, adclick.ErrInvalidArgument)
	_, err = scorer.ScoreDense(x, width, pctr, pctr[:1])
	expect(t, "too few for pCVR", err, adclick.ErrInvalidArgument)
}

func TestBadInputLeavesOutputs(t *testing.T) {
	engine := open(t, bundle, adclick.Options{})
	scorer := newScorer(t, engine, 3)
	good := inputOf(t, engine, 3)
	pctr, winners, reasons := make([]float32, 3), make([]adclick.Winner, 2), make([]adclick.Reason, 3)

	bad := *good
	bad.Values = []adclick.Value{{Feature: good.Values[1].Feature, Number: float32(math.NaN())}}
	_, err := scorer.Decide(&bad, winners, reasons)
	expect(t, "NaN", err, adclick.ErrInvalidValue)
	_, err = scorer.Score(&bad, pctr, nil)
	expect(t, "NaN", err, adclick.ErrInvalidValue)
	bad = *good
	bad.Request.UTCOffsetS = 100_000
	_, err = scorer.Decide(&bad, winners, reasons)
	expect(t, "an offset of more than a day", err, adclick.ErrInvalidArgument)
	_, err = scorer.Decide(inputOf(t, engine, 4), winners, nil)
	expect(t, "more candidates than the scorer has room for", err, adclick.ErrCapacityExceeded)
	_, err = scorer.Decide(good, winners[:1], nil)
	expect(t, "too few places for winners", err, adclick.ErrBufferTooSmall)
	_, err = scorer.Decide(good, winners, reasons[:2])
	expect(t, "too few reasons", err, adclick.ErrInvalidArgument)
	_, err = scorer.Score(good, pctr[:2], nil)
	expect(t, "too few for pCTR", err, adclick.ErrInvalidArgument)
	_, err = scorer.Score(good, pctr, make([]float32, 4))
	expect(t, "too many for pCVR", err, adclick.ErrInvalidArgument)
	_, err = scorer.RunAuction(adclick.AuctionOptions{Squash: 2}, good.Candidates, pctr, nil, winners, nil)
	expect(t, "a squash over 1", err, adclick.ErrInvalidArgument)
	_, err = adclick.RunAuction(adclick.AuctionOptions{}, good.Candidates, pctr[:2], nil, winners, nil)
	expect(t, "too few for pCTR", err, adclick.ErrInvalidArgument)

	if !slices.Equal(pctr, make([]float32, 3)) || !slices.Equal(winners, make([]adclick.Winner, 2)) ||
		!slices.Equal(reasons, make([]adclick.Reason, 3)) {
		t.Error("a failed call wrote outputs")
	}
	if _, err := scorer.Decide(good, winners, reasons); err != nil {
		t.Errorf("after failures: %v", err)
	}
	_, err = engine.NewScorer(-1)
	expect(t, "a negative size", err, adclick.ErrInvalidArgument)
	_, err = engine.NewScorer(1 << 21)
	expect(t, "too large a size", err, adclick.ErrInvalidArgument)
}

func TestEmptyRequest(t *testing.T) {
	engine := open(t, bundle, adclick.Options{})
	scorer := newScorer(t, engine, 1)
	for _, in := range []*adclick.Input{{}, {Values: []adclick.Value{}, Candidates: []adclick.Candidate{}}} {
		outcome := must[adclick.Outcome](t)(scorer.Decide(in, nil, nil))
		if outcome.Winners != 0 || outcome.Scored != 0 || outcome.Generation == 0 {
			t.Errorf("%+v", outcome)
		}
		must[adclick.Outcome](t)(scorer.Score(in, nil, nil))
	}
}

func TestDeadlineCuts(t *testing.T) {
	const n = 50_000
	engine := open(t, bundle, adclick.Options{})
	scorer := newScorer(t, engine, n)
	in := inputOf(t, engine, n)
	in.Request.DeadlineUS = 1
	winners, reasons := make([]adclick.Winner, 2), make([]adclick.Reason, n)
	outcome := must[adclick.Outcome](t)(scorer.Decide(in, winners, reasons))
	cut := 0
	for _, reason := range reasons {
		if reason == adclick.ReasonCut {
			cut++
		}
	}
	if outcome.Scored == 0 || outcome.Cut == 0 || outcome.Scored+outcome.Cut != n || uint32(cut) != outcome.Cut {
		t.Errorf("%+v, %d reasons say so", outcome, cut)
	}
	if outcome.Winners == 0 || reasons[winners[0].Candidate] != adclick.ReasonWon {
		t.Errorf("%+v, won by %d", outcome, winners[0].Candidate)
	}
}

// Another goroutine's call is refused, and so is Close; neither disturbs the call under way.
func TestBusy(t *testing.T) {
	const n = 100_000
	engine := open(t, bundle, adclick.Options{})
	scorer := newScorer(t, engine, n)
	in, pctr := inputOf(t, engine, n), make([]float32, n)
	stop, stopped := make(chan struct{}), make(chan error)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			// Between two calls the other goroutine may be in one.
			if _, err := scorer.Score(in, pctr, nil); err != nil && err.(*adclick.Error).Status != adclick.ErrBusy {
				stopped <- err
				return
			}
		}
	}()
	var empty adclick.Input
	for {
		if _, err := scorer.Score(&empty, nil, nil); err != nil {
			expect(t, "a call during a call", err, adclick.ErrBusy)
			break
		}
		runtime.Gosched()
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestCloseScorer(t *testing.T) {
	engine := open(t, bundle, adclick.Options{})
	scorer := must[*adclick.Scorer](t)(engine.NewScorer(1))
	for range 3 {
		if err := scorer.Close(); err != nil {
			t.Fatal(err)
		}
	}
	in, winners, pctr := inputOf(t, engine, 1), make([]adclick.Winner, 1), make([]float32, 1)
	_, err := scorer.Decide(in, winners, nil)
	expect(t, "Decide", err, adclick.ErrClosed)
	_, err = scorer.Score(in, pctr, nil)
	expect(t, "Score", err, adclick.ErrClosed)
	_, err = scorer.ScoreDense(nil, 29, nil, nil)
	expect(t, "ScoreDense", err, adclick.ErrClosed)
	_, err = scorer.RunAuction(adclick.AuctionOptions{}, in.Candidates, pctr, nil, winners, nil)
	expect(t, "RunAuction", err, adclick.ErrClosed)
}

func TestNothingIsAllocated(t *testing.T) {
	const n = 200
	engine := open(t, bundle, adclick.Options{})
	scorer := newScorer(t, engine, n)
	pool := must[*adclick.Pool](t)(engine.NewPool(1, n))
	defer pool.Close()
	in := inputOf(t, engine, n)
	winners, reasons := make([]adclick.Winner, 2), make([]adclick.Reason, n)
	pctr, pcvr, x := make([]float32, n), make([]float32, n), make([]float32, n*29)
	ids := []uint64{1, 2}
	var told adclick.Explanation
	for name, call := range map[string]func() error{
		"Decide": func() error { _, err := scorer.Decide(in, winners, reasons); return err },
		"Explain": func() error {
			if _, err := scorer.Decide(in, winners, nil); err != nil {
				return err
			}
			return scorer.Explain(1, &told)
		},
		"Score":      func() error { _, err := scorer.Score(in, pctr, pcvr); return err },
		"ScoreDense": func() error { _, err := scorer.ScoreDense(x, 29, pctr, nil); return err },
		"RunAuction": func() error {
			_, err := scorer.RunAuction(adclick.AuctionOptions{}, in.Candidates, pctr, nil, winners, reasons)
			return err
		},
		"Pool.Decide": func() error { _, err := pool.Decide(t.Context(), in, winners, reasons); return err },
		"Pool.Score":  func() error { _, err := pool.Score(t.Context(), in, pctr, nil); return err },
		"Hash":        func() error { adclick.Hash("mobile"); adclick.Key(ids...); return nil },
		"an Input of the caller's": func() error {
			own := adclick.Input{Request: in.Request, Values: in.Values, Candidates: in.Candidates}
			_, err := scorer.Decide(&own, winners, nil)
			return err
		},
	} {
		if err := call(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if allocations := testing.AllocsPerRun(100, func() { _ = call() }); allocations != 0 {
			t.Errorf("%s: %v allocations", name, allocations)
		}
	}
}

func TestCarryLosesNothing(t *testing.T) {
	var carry adclick.Carry
	var billed int64
	for range 1000 {
		billed += carry.Bill(1_999_999)
	}
	if billed != 1_999_999 || carry != 0 || carry.Bill(-5) != 0 || carry.Bill(math.MaxInt64) != math.MaxInt64/1000 {
		t.Errorf("billed %d, %d left over", billed, carry)
	}
}
