package adclick_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math"
	"time"

	"adclick.io/adclick"
)

// Once, at start, then a request: who wins at what price. `bundle` is a bundle of examples/tables, or a directory of bundles.
func Example() {
	// Once for the process: the engine, and the handles of what requests carry.
	engine, err := adclick.Open(bundle, adclick.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	device, err := engine.Feature("device_type")
	if err != nil {
		log.Fatal(err)
	}
	pool, err := engine.NewPool(0, 1000) // a scorer for each CPU, up to 1000 candidates
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()

	// A request by ids: what is known of user and ads stands in the bundle's tables.
	in := adclick.Input{
		Request: adclick.Request{
			RequestID:  42,
			UserKey:    adclick.Hash("u1001"),
			TimeUS:     time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC).UnixMicro(),
			Slots:      1,
			DeadlineUS: 20_000,
		},
		Values: []adclick.Value{{Feature: device, ID: adclick.Hash("mobile")}},
		Candidates: []adclick.Candidate{
			{AdKey: adclick.Hash("a1"), AdvertiserKey: adclick.Hash("acme"), BidKind: adclick.CPC, BidMicros: 500_000},
			{AdKey: adclick.Hash("a2"), AdvertiserKey: adclick.Hash("globex"), BidKind: adclick.CPC, BidMicros: 450_000},
			{AdKey: adclick.Hash("a3"), AdvertiserKey: adclick.Hash("initech"), BidKind: adclick.CPM, BidMicros: 2_000_000},
		},
	}
	winners := make([]adclick.Winner, 1)
	outcome, err := pool.Decide(context.Background(), &in, winners, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, winner := range winners[:outcome.Winners] {
		fmt.Printf("candidate %d wins: pCTR %.4f, pays %.2f for a click\n", winner.Candidate, winner.PCTR,
			float64(winner.PriceMicros)/1e6)
	}
	// Output: candidate 0 wins: pCTR 0.0969, pays 0.16 for a click
}

// What a server knows of all its candidates, in columns: handles once, then a row for each candidate.
func ExampleColumnValues() {
	engine, err := adclick.Open(bundle, adclick.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	rate, err := engine.Feature("ad_ctr_7d")
	if err != nil {
		log.Fatal(err)
	}
	scorer, err := engine.NewScorer(10)
	if err != nil {
		log.Fatal(err)
	}
	defer scorer.Close()
	in := adclick.Input{
		Request:    adclick.Request{UserKey: adclick.Hash("u1003"), TimeUS: 1_790_000_000_000_000},
		Candidates: []adclick.Candidate{{AdKey: adclick.Hash("a1")}, {AdKey: adclick.Hash("a2")}},
		// Click rates of the last hour. Nothing is known of the second ad: the bundle's table has its rate.
		Columns: adclick.ColumnValues{NumberFeatures: []uint32{rate}, Numbers: []float32{0.25, float32(math.NaN())}},
	}
	pctr, plain := make([]float32, 2), make([]float32, 2)
	if _, err := scorer.Score(&in, pctr, nil); err != nil {
		log.Fatal(err)
	}
	in.Columns = adclick.ColumnValues{}
	if _, err := scorer.Score(&in, plain, nil); err != nil {
		log.Fatal(err)
	}
	fmt.Println("higher:", pctr[0] > plain[0], "- the same:", pctr[1] == plain[1])
	// Output: higher: true - the same: true
}

// Probabilities alone, for those who run an auction of their own, and why candidates lost.
func ExampleScorer_Score() {
	engine, err := adclick.Open(bundle, adclick.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	scorer, err := engine.NewScorer(10)
	if err != nil {
		log.Fatal(err)
	}
	defer scorer.Close()
	in := adclick.Input{
		Request: adclick.Request{UserKey: adclick.Hash("u1003"), TimeUS: 1_790_000_000_000_000},
		Candidates: []adclick.Candidate{
			{AdKey: adclick.Hash("a1"), AdvertiserKey: adclick.Hash("acme"), BidKind: adclick.CPC, BidMicros: 400_000},
			{AdKey: adclick.Hash("a3"), AdvertiserKey: adclick.Hash("initech"), BidKind: adclick.CPC, BidMicros: 300_000},
			{AdKey: adclick.Hash("a2"), AdvertiserKey: adclick.Hash("globex"), BidKind: adclick.CPC, BidMicros: -1},
		},
	}
	pctr := make([]float32, len(in.Candidates))
	if _, err := scorer.Score(&in, pctr, nil); err != nil {
		log.Fatal(err)
	}
	winners, reasons := make([]adclick.Winner, 1), make([]adclick.Reason, len(pctr))
	if _, err := scorer.RunAuction(adclick.AuctionOptions{}, in.Candidates, pctr, nil, winners, reasons); err != nil {
		log.Fatal(err)
	}
	for i, reason := range reasons {
		fmt.Printf("candidate %d: pCTR %.3f, %v\n", i, pctr[i], reason)
	}
	// Output:
	// candidate 0: pCTR 0.105, outranked
	// candidate 1: pCTR 0.351, won
	// candidate 2: pCTR 0.052, invalid_bid
}

// Rows on top of the tables: the next request sees them.
func ExampleEngine_Upsert() {
	engine, err := adclick.Open(bundle, adclick.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	users, err := engine.Table("users")
	if err != nil {
		log.Fatal(err)
	}
	clicks, err := engine.Column(users, "clicks_7d")
	if err != nil {
		log.Fatal(err)
	}
	done, err := engine.Upsert(adclick.Upsert{
		Table:     users,
		Operation: adclick.Increment,
		Rows:      []adclick.Row{{Key: adclick.Hash("u1001"), NumValues: 1}, {Key: adclick.Hash("u1002"), NumValues: 1}},
		Values:    []adclick.Value{{Feature: clicks, Number: 1}}, // both rows take this one
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("rows written:", done.Applied)
	// Output: rows written: 2
}

// A new generation: checked while the old one serves, live by one pointer swap, and taken back.
func ExampleEngine_Stage() {
	engine, err := adclick.Open(bundle, adclick.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	first, _ := engine.Generation()
	staged, err := engine.Stage(renewed)
	if err != nil {
		log.Fatal(err) // the first one serves on
	}
	defer staged.Close()
	second, err := staged.Activate()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("another generation:", second != first)
	back, err := engine.Rollback()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the first one again:", back == first)
	// Output:
	// another generation: true
	// the first one again: true
}

// A status tells kinds of failure apart, the Error has a sentence for the log.
func ExampleError() {
	engine, err := adclick.Open(bundle, adclick.Options{})
	if err != nil {
		log.Fatal(err)
	}
	_, err = engine.Rollback()
	fmt.Println(errors.Is(err, adclick.ErrNoPrevious))
	engine.Close()
	_, err = engine.NewScorer(1000)
	var detail *adclick.Error
	if errors.As(err, &detail) {
		fmt.Println(detail.Status, "|", detail.Message)
	}
	// Output:
	// true
	// ADCLICK_CLOSED | the handle was closed before, or never opened
}
