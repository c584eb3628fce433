package adclick

import (
	"context"
	"runtime"
	"sync"
)

// Pool keeps scorers for goroutines to take turns. All are made at the start, so that no request waits for one to be made.
// More of them than there are CPUs only let requests slow each other down; a request that finds none free waits.
type Pool struct {
	free   chan *Scorer
	closed chan struct{}
	once   sync.Once
}

// NewPool makes a pool of n scorers, each for up to maxCandidates candidates; n = 0 is as many as GOMAXPROCS, and
// maxCandidates = 0 is 1024.
func (e *Engine) NewPool(n, maxCandidates int) (*Pool, error) {
	if n < 0 {
		return nil, invalid("n: expected a number of scorers, or 0 for GOMAXPROCS")
	}
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	p := &Pool{free: make(chan *Scorer, n), closed: make(chan struct{})}
	for range n {
		s, err := e.NewScorer(maxCandidates)
		if err != nil {
			p.Close()
			return nil, err
		}
		s.pool = p
		s.pooled.Store(true)
		p.free <- s
	}
	return p, nil
}

// Get takes a scorer out of the pool, for [Pool.Put] to bring back. When none is free it waits until ctx is done, whose
// error it returns then. The wait is not part of Request.DeadlineUS: a server that has a limit computes it afterwards.
func (p *Pool) Get(ctx context.Context) (*Scorer, error) {
	select {
	case <-p.closed:
		return nil, errPoolClosed
	default:
	}
	// First without ctx.Done, which allocates on a context's first use.
	select {
	case s := <-p.free:
		s.pooled.Store(false)
		return s, nil
	default:
	}
	select {
	case s := <-p.free:
		s.pooled.Store(false)
		return s, nil
	case <-p.closed:
		return nil, errPoolClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

var errPoolClosed = &Error{ErrClosed, "the pool was closed before"}

// Put brings back a scorer that Get gave. It panics when the scorer is not out of this pool.
func (p *Pool) Put(s *Scorer) {
	if s.pool != p || !s.pooled.CompareAndSwap(false, true) {
		panic("adclick: Put of a scorer that is not out of this pool")
	}
	p.free <- s // never waits: there is room for every scorer of the pool
	select {
	case <-p.closed:
		p.drain()
	default:
	}
}

// Close frees the scorers that are in the pool, and those that are out when they are put back. Get, Decide and Score give
// [ErrClosed] from then on; calls under way end well. A second Close does nothing.
func (p *Pool) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.drain()
}

func (p *Pool) drain() error {
	for {
		select {
		case s := <-p.free:
			// Nobody else has it.
			if err := s.Close(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// Decide is [Scorer.Decide] with a scorer of the pool.
func (p *Pool) Decide(ctx context.Context, in *Input, winners []Winner, reasons []Reason) (Outcome, error) {
	s, err := p.Get(ctx)
	if err != nil {
		return Outcome{}, err
	}
	defer p.Put(s)
	return s.Decide(in, winners, reasons)
}

// Score is [Scorer.Score] with a scorer of the pool.
func (p *Pool) Score(ctx context.Context, in *Input, pctr, pcvr []float32) (Outcome, error) {
	s, err := p.Get(ctx)
	if err != nil {
		return Outcome{}, err
	}
	defer p.Put(s)
	return s.Score(in, pctr, pcvr)
}
