package adclick_test

import (
	"context"
	"testing"

	"adclick.io/adclick"
)

// One call's cost. What a decision of no candidates takes is overhead: of Go, of cgo and of the library; of cgo alone,
// BenchmarkCgo tells.
//
//	go test -run - -bench . -benchmem -cpu 1 -count 5

func BenchmarkCgo(b *testing.B) {
	for b.Loop() {
		adclick.ABIVersion()
	}
}

func benchmarkDecide(b *testing.B, n int) {
	engine := open(b, bundle, adclick.Options{})
	scorer := newScorer(b, engine, 1000)
	in, winners := inputOf(b, engine, n), make([]adclick.Winner, 2)
	if n == 0 {
		in = &adclick.Input{}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := scorer.Decide(in, winners, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecideEmpty(b *testing.B) { benchmarkDecide(b, 0) }
func BenchmarkDecide200(b *testing.B)   { benchmarkDecide(b, 200) }
func BenchmarkDecide1000(b *testing.B)  { benchmarkDecide(b, 1000) }

func BenchmarkScore200(b *testing.B) {
	engine := open(b, bundle, adclick.Options{})
	scorer := newScorer(b, engine, 200)
	in, pctr := inputOf(b, engine, 200), make([]float32, 200)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := scorer.Score(in, pctr, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkPool(b *testing.B, n int) {
	engine := open(b, bundle, adclick.Options{})
	pool := must[*adclick.Pool](b)(engine.NewPool(0, 1000))
	defer pool.Close()
	in := inputOf(b, engine, n)
	if n == 0 {
		in = &adclick.Input{}
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		winners := make([]adclick.Winner, 2)
		for pb.Next() {
			if _, err := pool.Decide(context.Background(), in, winners, nil); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkPoolDecideEmpty(b *testing.B) { benchmarkPool(b, 0) }
func BenchmarkPoolDecide200(b *testing.B)   { benchmarkPool(b, 200) }

func BenchmarkHash(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		adclick.Hash("a user's id of 24 bytes")
	}
}
