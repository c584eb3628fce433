// A first program: open a bundle, decide one request, print the winners.
//
//	make ids                                              # packs examples/tables into build/bundles
//	cd examples/go/first && go run . ../../../build/bundles
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"adclick.io/adclick"
)

type ad struct {
	id, advertiser string
	bidMicros      int64 // for a click
}

// The tables do not know the click rate of a4, and nothing of a9.
var ads = []ad{
	{"a1", "acme", 500_000}, {"a2", "globex", 450_000}, {"a3", "initech", 480_000}, {"a4", "acme", 520_000}, {"a9", "globex", 500_000},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: first BUNDLE")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(bundle string) error {
	// Once, at start: the engine, shared by all goroutines, and the handles of what requests carry.
	engine, err := adclick.Open(bundle, adclick.Options{})
	if err != nil {
		return err
	}
	defer engine.Close()
	device, err := engine.Feature("device_type")
	if err != nil {
		return err
	}
	depth, err := engine.Feature("session_depth")
	if err != nil {
		return err
	}

	// Once: the scorers, one for each CPU. All memory is allocated here, none for a request.
	pool, err := engine.NewPool(0, 1000)
	if err != nil {
		return err
	}
	defer pool.Close()

	// The request: a user id, a time, context. The candidates: an ad id, an advertiser id and a bid. What is known of them
	// is in the bundle's tables. A string id is hashed, as `adclick pack` hashed those of the data files.
	in := adclick.Input{
		Request: adclick.Request{
			RequestID:  42,
			UserKey:    adclick.Hash("u1001"),
			TimeUS:     time.Now().UnixMicro(),
			UTCOffsetS: 3600, // the user's local time gives hour and weekday
			Slots:      2,
			DeadlineUS: 5000,
		},
		Values: []adclick.Value{{Feature: device, ID: adclick.Hash("mobile")}, {Feature: depth, Number: 4}},
	}
	for _, ad := range ads {
		in.Candidates = append(in.Candidates, adclick.Candidate{
			AdKey:         adclick.Hash(ad.id),
			AdvertiserKey: adclick.Hash(ad.advertiser),
			BidKind:       adclick.CPC,
			BidMicros:     ad.bidMicros,
			ReserveMicros: 50_000, // 0.05 for a click, the least price
		})
	}

	// Once, at start: does the live model read what this program passes? Scoring itself only counts what it has no use for.
	found, err := engine.Check(&in)
	if err != nil {
		return err
	}
	fmt.Fprint(os.Stderr, found.Text)
	if found.Errors > 0 {
		return fmt.Errorf("the model does not read what is passed: %d errors", found.Errors)
	}

	winners := make([]adclick.Winner, in.Request.Slots)
	reasons := make([]adclick.Reason, len(in.Candidates))
	outcome, err := pool.Decide(context.Background(), &in, winners, reasons)
	if err != nil {
		return err
	}
	for _, winner := range winners[:outcome.Winners] {
		fmt.Printf("slot %d: ad %s, pCTR %.6f, pays %.6f for a click\n", winner.Slot, ads[winner.Candidate].id, winner.PCTR,
			float64(winner.PriceMicros)/1e6)
	}
	for i, reason := range reasons {
		if reason != adclick.ReasonWon {
			fmt.Printf("ad %s: %v\n", ads[i].id, reason)
		}
	}
	fmt.Printf("generation %016x on kernel %s, %d values missing or unknown\n", outcome.Generation, engine.Kernel(),
		outcome.Missing)
	return nil
}
