package adclick_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"adclick.io/adclick"
)

func TestPoolServesAll(t *testing.T) {
	const n = 100
	engine := open(t, bundle, adclick.Options{})
	pool := must[*adclick.Pool](t)(engine.NewPool(2, n))
	defer pool.Close()
	in := inputOf(t, engine, n)
	expected := make([]adclick.Winner, 2)
	must[adclick.Outcome](t)(pool.Decide(t.Context(), in, expected, nil))
	told := func(winners []adclick.Winner) []adclick.Winner {
		for i := range winners {
			w := &winners[i]
			w.PCVR, w.ImpressionID, w.ImpressionIDHigh = 0, 0, 0 // NaN, and never the same twice
		}
		return winners
	}
	told(expected)

	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			winners, pctr := make([]adclick.Winner, 2), make([]float32, n)
			for range 100 {
				if _, err := pool.Decide(t.Context(), in, winners, nil); err != nil {
					t.Error(err)
					return
				}
				if !slices.Equal(told(winners), expected) {
					t.Errorf("winners %+v, expected %+v", winners, expected)
					return
				}
				if _, err := pool.Score(t.Context(), in, pctr, nil); err != nil || pctr[winners[0].Candidate] != winners[0].PCTR {
					t.Errorf("pCTR %v, %v", pctr[winners[0].Candidate], err)
					return
				}
			}
		})
	}
	group.Wait()
}

func TestPoolWaits(t *testing.T) {
	engine := open(t, bundle, adclick.Options{})
	pool := must[*adclick.Pool](t)(engine.NewPool(1, 4))
	defer pool.Close()
	scorer := must[*adclick.Scorer](t)(pool.Get(t.Context()))

	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pool.Get(done); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait that was given up: %v", err)
	}
	waited := make(chan error)
	go func() {
		_, err := pool.Decide(t.Context(), &adclick.Input{}, nil, nil)
		waited <- err
	}()
	pool.Put(scorer)
	if err := <-waited; err != nil {
		t.Error(err)
	}
	// A context that is done does not matter when a scorer is free.
	scorer = must[*adclick.Scorer](t)(pool.Get(done))
	pool.Put(scorer)

	for name, misuse := range map[string]func(){
		"twice":            func() { pool.Put(scorer) },
		"a foreign scorer": func() { pool.Put(newScorer(t, engine, 4)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Put of %s did not panic", name)
				}
			}()
			misuse()
		}()
	}
}

func TestClosePool(t *testing.T) {
	engine := open(t, bundle, adclick.Options{})
	pool := must[*adclick.Pool](t)(engine.NewPool(2, 4))
	out := must[*adclick.Scorer](t)(pool.Get(t.Context()))
	other := must[*adclick.Scorer](t)(pool.Get(t.Context()))
	waited := make(chan error)
	go func() {
		_, err := pool.Get(t.Context())
		waited <- err
	}()
	for range 3 {
		if err := pool.Close(); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, "waiting while the pool is closed", <-waited, adclick.ErrClosed)
	_, err := pool.Get(t.Context())
	expect(t, "Get", err, adclick.ErrClosed)
	_, err = pool.Decide(t.Context(), &adclick.Input{}, nil, nil)
	expect(t, "Decide", err, adclick.ErrClosed)
	_, err = pool.Score(t.Context(), &adclick.Input{}, nil, nil)
	expect(t, "Score", err, adclick.ErrClosed)
	// Those that were out serve on until they are put back.
	must[adclick.Outcome](t)(out.Decide(&adclick.Input{}, nil, nil))
	pool.Put(out)
	_, err = out.Decide(&adclick.Input{}, nil, nil)
	expect(t, "a scorer that was put back", err, adclick.ErrClosed)
	must[adclick.Outcome](t)(other.Decide(&adclick.Input{}, nil, nil))
	pool.Put(other)
	_, err = engine.NewPool(-1, 0)
	expect(t, "a negative number", err, adclick.ErrInvalidArgument)
}

// Closing while others serve: every call ends with a whole answer or with ErrClosed.
func TestCloseWhileServing(t *testing.T) {
	const n = 50
	for _, what := range []string{"engine", "pool", "both"} {
		for range 10 {
			engine := must[*adclick.Engine](t)(adclick.Open(bundle, adclick.Options{}))
			pool := must[*adclick.Pool](t)(engine.NewPool(2, n))
			in := inputOf(t, engine, n)
			var served atomic.Int64
			var group sync.WaitGroup
			for range 4 {
				group.Go(func() {
					winners := make([]adclick.Winner, 2)
					for {
						outcome, err := pool.Decide(context.Background(), in, winners, nil)
						if err != nil {
							expect(t, "after closing "+what, err, adclick.ErrClosed)
							return
						}
						if outcome.Winners != 2 || outcome.Scored != n {
							t.Errorf("%+v", outcome)
							return
						}
						served.Add(1)
					}
				})
			}
			// Also while the bundle is swapped.
			group.Go(func() {
				for {
					staged, err := engine.Stage(renewed)
					if err == nil {
						_, err = staged.Activate()
					}
					if err != nil {
						expect(t, "swapping", err, adclick.ErrClosed)
						return
					}
				}
			})
			for served.Load() < 20 && !t.Failed() {
				runtime.Gosched()
			}
			var closing sync.WaitGroup
			for range 2 {
				closing.Go(func() {
					if what != "pool" {
						if err := engine.Close(); err != nil {
							t.Error(err)
						}
					}
					if what != "engine" {
						if err := pool.Close(); err != nil {
							t.Error(err)
						}
					}
				})
			}
			closing.Wait()
			if err := engine.Close(); err != nil {
				t.Error(err)
			}
			group.Wait()
			if err := pool.Close(); err != nil {
				t.Error(err)
			}
			if t.Failed() {
				return
			}
		}
	}
}
