package adclick_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"adclick.io/adclick"
	"adclick.io/adclick/internal/heap"
)

// The resident memory of the process in bytes.
func resident(t *testing.T) int64 {
	t.Helper()
	var pages, ours int64
	text := must[[]byte](t)(os.ReadFile("/proc/self/statm"))
	for _, field := range []*int64{&pages, &ours} {
		var digits []byte
		digits, text, _ = bytes.Cut(text, []byte(" "))
		for _, digit := range digits {
			*field = *field*10 + int64(digit-'0')
		}
	}
	return ours * int64(os.Getpagesize())
}

// How many files of the bundles are mapped.
func mapped(t *testing.T) int {
	t.Helper()
	return bytes.Count(must[[]byte](t)(os.ReadFile("/proc/self/maps")), []byte(bundles))
}

// Runs the rest of a test in a process of its own whose C allocator keeps no blocks for each thread: kept ones would count
// as allocated, as many as goroutines came to how many threads. False in the process that started it.
func withoutThreadCaches(t *testing.T) bool {
	t.Helper()
	const name, value = "GLIBC_TUNABLES", "glibc.malloc.tcache_count=0"
	if os.Getenv(name) == value {
		return true
	}
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-long="+fmt.Sprint(*long))
	command.Env = append(os.Environ(), name+"="+value)
	told, err := command.CombinedOutput()
	t.Logf("%s", told)
	if err != nil {
		t.Error(err)
	}
	return false
}

// What the C allocator may hold more of than before: the Go runtime starts threads, which have a few hundred bytes each.
const slack = 32 << 10

// Many calls, good and bad ones, leave memory as it was. With -long ten million.
func TestCallsLeaveMemoryAsItWas(t *testing.T) {
	if !withoutThreadCaches(t) {
		return
	}
	calls := 200_000
	if *long {
		calls = 10_000_000
	}
	const n = 20
	engine := open(t, bundle, adclick.Options{})
	pool := must[*adclick.Pool](t)(engine.NewPool(1, n))
	defer pool.Close()
	in := inputOf(t, engine, n)
	bad := *in
	bad.Request.UTCOffsetS = 100_000
	winners, reasons, pctr := make([]adclick.Winner, 2), make([]adclick.Reason, n), make([]float32, n)
	serve := func(calls int) {
		for i := range calls {
			var err error
			switch i % 10 {
			case 0:
				_, err = pool.Score(t.Context(), in, pctr, nil)
			case 1:
				if _, err = pool.Decide(t.Context(), &bad, winners, nil); err != nil {
					err = nil
				}
			case 2:
				_, err = pool.Decide(t.Context(), in, winners, reasons)
			default:
				in.Request.RequestID = adclick.Hash("request") + uint64(i)
				_, err = pool.Decide(t.Context(), in, winners, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	serve(calls / 10)
	runtime.GC()
	debug.FreeOSMemory()
	inUse, before, began := heap.InUse(), resident(t), time.Now()
	serve(calls)
	debug.FreeOSMemory()
	after := resident(t)
	t.Logf("%d calls in %v, resident %.1f MB before, %.1f MB after", calls, time.Since(began).Round(time.Millisecond),
		float64(before)/1e6, float64(after)/1e6)
	if grown := heap.InUse() - inUse; grown > slack {
		t.Errorf("%d bytes more are allocated in C than before", grown)
	}
	if after > before+8<<20 {
		t.Errorf("resident memory grew from %d to %d", before, after)
	}
}

// What is closed is freed: engines with their maps, scorers, pools, staged generations.
func TestCloseFreesAll(t *testing.T) {
	if !withoutThreadCaches(t) {
		return
	}
	round := func() {
		engine := must[*adclick.Engine](t)(adclick.Open(bundle, adclick.Options{Follow: 0}))
		in := inputOf(t, engine, 20)
		pool := must[*adclick.Pool](t)(engine.NewPool(3, 100))
		scorer := must[*adclick.Scorer](t)(engine.NewScorer(100))
		winners := make([]adclick.Winner, 2)
		must[adclick.Outcome](t)(scorer.Decide(in, winners, nil))
		must[adclick.Outcome](t)(pool.Decide(t.Context(), in, winners, nil))
		must[uint64](t)(must[*adclick.Staged](t)(engine.Stage(renewed)).Activate())
		dropped := must[*adclick.Staged](t)(engine.Stage(renewed))
		if mapped(t) == 0 {
			t.Fatal("no file of the bundle is mapped")
		}
		for _, close := range []func() error{dropped.Close, pool.Close, engine.Close, scorer.Close} {
			if err := close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	round()
	inUse := heap.InUse()
	for range 30 {
		round()
	}
	if grown := heap.InUse() - inUse; grown > slack {
		t.Errorf("%d bytes more are allocated in C than before", grown)
	}
	if n := mapped(t); n != 0 {
		t.Errorf("%d files of bundles are still mapped", n)
	}
}

// What is forgotten is freed by the garbage collector; a scorer in use keeps its engine.
func TestGarbageCollectorFreesWhatIsForgotten(t *testing.T) {
	if !withoutThreadCaches(t) {
		return
	}
	collect := func(done func() bool) bool {
		for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				return false
			}
			runtime.GC()
		}
		return true
	}
	forget := func() {
		engine := must[*adclick.Engine](t)(adclick.Open(bundle, adclick.Options{}))
		must[*adclick.Staged](t)(engine.Stage(renewed))
		must[*adclick.Pool](t)(engine.NewPool(2, 100))
		must[*adclick.Scorer](t)(engine.NewScorer(100))
	}
	forget()
	if !collect(func() bool { return mapped(t) == 0 }) {
		t.Fatalf("%d files of bundles are still mapped", mapped(t))
	}
	inUse := heap.InUse()
	for range 10 {
		forget()
	}
	if !collect(func() bool { return mapped(t) == 0 && heap.InUse() <= inUse+slack }) {
		t.Errorf("%d files are still mapped, %d bytes more are allocated in C", mapped(t), heap.InUse()-inUse)
	}

	scorer := must[*adclick.Scorer](t)(must[*adclick.Engine](t)(adclick.Open(bundle, adclick.Options{})).NewScorer(1))
	for range 5 {
		runtime.GC()
		time.Sleep(time.Millisecond)
		must[adclick.Outcome](t)(scorer.Decide(&adclick.Input{}, nil, nil))
	}
	if err := scorer.Close(); err != nil {
		t.Error(err)
	}
}

// Handles are small numbers. Stacks that hold them are moved and scanned without harm.
func TestHandlesAreNoPointersForTheRuntime(t *testing.T) {
	engine := open(t, bundle, adclick.Options{})
	var deep func(levels int, engine *adclick.Engine) uint64
	deep = func(levels int, engine *adclick.Engine) uint64 {
		var room [256]byte
		if levels == 0 {
			runtime.GC()
			generation, _ := engine.Generation()
			return generation
		}
		staged, err := engine.Stage(renewed)
		if err != nil {
			return 0
		}
		defer staged.Close()
		room[levels] = 1
		return deep(levels-1, engine) + uint64(room[0])
	}
	result := make(chan uint64)
	for range 8 {
		go func() { result <- deep(20, engine) }()
	}
	for range 8 {
		if got := <-result; got != must[uint64](t)(engine.Generation()) {
			t.Errorf("generation %x", got)
		}
	}
}
