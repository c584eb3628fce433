package adclick_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"adclick.io/adclick"
)

func expect(t *testing.T, what string, err error, status adclick.Status) {
	t.Helper()
	var detail *adclick.Error
	if !errors.Is(err, status) || !errors.As(err, &detail) || detail.Status != status || detail.Message == "" {
		t.Errorf("%s: %v, expected %v with a message", what, err, status)
	}
}

func TestOpenRefuses(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	_, err := adclick.Open(missing, adclick.Options{})
	expect(t, "a missing bundle", err, adclick.ErrIO)
	if !strings.Contains(err.Error(), missing) {
		t.Errorf("%v does not name %s", err, missing)
	}
	_, err = adclick.Open("", adclick.Options{})
	if err == nil {
		t.Error("an empty path was opened")
	}
	_, err = adclick.Open(bundle, adclick.Options{Kernel: "abacus"})
	expect(t, "an unknown kernel", err, adclick.ErrUnsupported)
	_, err = adclick.Open(bundle, adclick.Options{Kernel: strings.Repeat("x", 17)})
	expect(t, "a long name of a kernel", err, adclick.ErrUnsupported)
	_, err = adclick.Open(bundle, adclick.Options{Headroom: 0.5})
	expect(t, "a headroom under 1", err, adclick.ErrInvalidArgument)
	_, err = adclick.Open(bundle, adclick.Options{Follow: -time.Second})
	expect(t, "a negative duration", err, adclick.ErrInvalidArgument)
	_, err = adclick.Open(bundle, adclick.Options{OverlayMaxAge: 200 * 365 * 24 * time.Hour})
	expect(t, "too long a duration", err, adclick.ErrInvalidArgument)

	damaged := filepath.Join(t.TempDir(), "damaged")
	if err := os.CopyFS(damaged, os.DirFS(bundle)); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(damaged)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if err := os.Truncate(filepath.Join(damaged, file.Name()), 64); err != nil {
			t.Fatal(err)
		}
	}
	_, err = adclick.Open(damaged, adclick.Options{})
	if err == nil || errors.Is(err, adclick.ErrIO) {
		t.Errorf("a damaged bundle: %v", err)
	}
}

func TestOptionsReachTheLibrary(t *testing.T) {
	engine := open(t, bundle, adclick.Options{
		Copy: true, LazyTables: true, Kernel: "portable", Headroom: 3, OverlayRows: 100, OverlayMaxAge: time.Hour,
	})
	if engine.Kernel() != "portable" {
		t.Errorf("kernel %q", engine.Kernel())
	}
	if best := open(t, bundle, adclick.Options{Kernel: adclick.BestKernel()}); best.Kernel() != adclick.BestKernel() {
		t.Errorf("the best kernel is %q, and %q serves", adclick.BestKernel(), best.Kernel())
	}
	users := must[uint32](t)(engine.Table("users"))
	if info := must[adclick.TableInfo](t)(engine.TableInfo(users)); info.OverlayCapacity != 100 || info.Rows != 5 {
		t.Errorf("%+v", info)
	}
	plain := open(t, bundle, adclick.Options{NoOverlays: true})
	users = must[uint32](t)(plain.Table("users"))
	if info := must[adclick.TableInfo](t)(plain.TableInfo(users)); info.OverlayCapacity != 0 {
		t.Errorf("%+v", info)
	}
	_, err := plain.Upsert(adclick.Upsert{Table: users})
	expect(t, "an upsert without overlays", err, adclick.ErrInvalidArgument)
}

// A precision that the machine or the model cannot do is told, and exact stands for it.
func TestPrecision(t *testing.T) {
	for _, precision := range []adclick.Precision{adclick.Exact, adclick.BF16, adclick.INT8, adclick.AuctionExact} {
		engine := open(t, bundle, adclick.Options{Precision: precision})
		in, winners := inputOf(t, engine, 10), make([]adclick.Winner, 2)
		outcome := must[adclick.Outcome](t)(newScorer(t, engine, 10).Decide(in, winners, nil))
		if err := engine.PrecisionError(); err == nil && outcome.Precision != precision ||
			err != nil && (outcome.Precision != adclick.Exact || precision == adclick.Exact) {
			t.Errorf("asked for %v, served in %v: %v", precision, outcome.Precision, err)
		}
	}
	_, err := adclick.Open(bundle, adclick.Options{Precision: 99})
	expect(t, "an unknown precision", err, adclick.ErrInvalidArgument)
}

// With an ad cache the same candidates win at the same probabilities; without one it is told what it would take.
func TestAdCache(t *testing.T) {
	decide := func(options adclick.Options) (adclick.AdCache, adclick.Precision, []adclick.Winner, string) {
		engine := open(t, bundle, options)
		in, winners := inputOf(t, engine, 20), make([]adclick.Winner, 4)
		in.Request.Slots = 4
		outcome := must[adclick.Outcome](t)(newScorer(t, engine, 20).Decide(in, winners, nil))
		text := string(must[[]byte](t)(engine.AppendMetrics(nil)))
		return must[adclick.AdCache](t)(engine.AdCache()), outcome.Precision, winners[:outcome.Winners], text
	}
	off, _, plain, text := decide(adclick.Options{Precision: adclick.Exact})
	if off.State != adclick.AdCacheOff || off.Ads != 0 || off.Bytes != 0 || off.BytesNeeded == 0 {
		t.Errorf("without memory for it: %+v", off)
	}
	if !strings.Contains(text, "\nadclick_candidates_kept_total 0\n") {
		t.Error("candidates used a cache that is not there")
	}
	on, _, kept, text := decide(adclick.Options{Precision: adclick.Exact, AdCacheMiB: 64})
	if on.State != adclick.AdCacheOn || on.Ads != 4 || on.Bytes != off.BytesNeeded || on.BytesNeeded != off.BytesNeeded {
		t.Errorf("with memory for it: %+v, without %+v", on, off)
	}
	// The four ads that the table has.
	if !strings.Contains(text, "\nadclick_candidates_kept_total 4\n") {
		t.Errorf("not four candidates used the cache:\n%s", text)
	}
	if len(kept) != 4 || len(plain) != 4 {
		t.Fatalf("%d winners with the cache, %d without", len(kept), len(plain))
	}
	for i := range plain {
		if kept[i].Candidate != plain[i].Candidate || math.Abs(float64(kept[i].PCTR-plain[i].PCTR)) > 1e-6 {
			t.Errorf("slot %d: %+v with the cache, %+v without", i, kept[i], plain[i])
		}
	}
	// Only exact sums are kept. Where the CPU has no products of bf16, exact is served.
	fast, precision, _, _ := decide(adclick.Options{Precision: adclick.BF16, AdCacheMiB: 64})
	if (fast.State == adclick.AdCacheNotExact) != (precision == adclick.BF16) || fast.BytesNeeded != off.BytesNeeded {
		t.Errorf("served in %v: %+v", precision, fast)
	}
}

func TestHandlesLast(t *testing.T) {
	engine := open(t, bundle, adclick.Options{})
	handle := must[uint32](t)
	device := handle(engine.Feature("device_type"))
	if device == 0 || device != handle(engine.Feature("device_type")) || device == handle(engine.Feature("placement")) {
		t.Error("handles are not those of names")
	}
	if handle(engine.Feature("a name that no model has")) == 0 {
		t.Error("an unknown name has no handle")
	}
	_, err := engine.Feature("")
	expect(t, "an empty name", err, adclick.ErrInvalidArgument)
	_, err = engine.Feature("\xff")
	expect(t, "a name that is not UTF-8", err, adclick.ErrInvalidArgument)
	_, err = engine.Column(12345, "ctr_7d")
	expect(t, "a column of no table", err, adclick.ErrInvalidArgument)
}

func TestStageActivateRollback(t *testing.T) {
	engine := open(t, bundle, adclick.Options{})
	generation := must[uint64](t)
	first := generation(engine.Generation())

	_, err := engine.Rollback()
	expect(t, "a rollback at the start", err, adclick.ErrNoPrevious)
	_, err = engine.Stage(filepath.Join(bundles, "missing"))
	expect(t, "staging nothing", err, adclick.ErrIO)
	_, err = engine.Poll()
	expect(t, "polling on a bundle itself", err, adclick.ErrInvalidArgument)

	staged := must[*adclick.Staged](t)(engine.Stage(renewed))
	if got := generation(engine.Generation()); got != first {
		t.Errorf("staging made %x live", got)
	}
	second := generation(staged.Activate())
	if second == first || second != generation(engine.Generation()) {
		t.Errorf("activated %x after %x", second, first)
	}
	_, err = staged.Activate()
	expect(t, "a second activation", err, adclick.ErrClosed)
	if err := staged.Close(); err != nil {
		t.Error(err)
	}
	if got := generation(engine.Rollback()); got != first || got != generation(engine.Generation()) {
		t.Errorf("rolled back to %x, expected %x", got, first)
	}

	dropped := must[*adclick.Staged](t)(engine.Stage(renewed))
	for range 2 {
		if err := dropped.Close(); err != nil {
			t.Error(err)
		}
	}
	_, err = dropped.Activate()
	expect(t, "activating what was closed", err, adclick.ErrClosed)
}

// A directory of bundles as a publisher writes it.
func published(t *testing.T) (directory string, publish func(name string)) {
	directory = t.TempDir()
	for _, from := range []string{bundle, renewed} {
		if err := os.CopyFS(filepath.Join(directory, filepath.Base(from)), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	publish = func(name string) {
		t.Helper()
		next := filepath.Join(directory, ".CURRENT")
		if err := os.WriteFile(next, []byte(name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(directory, "CURRENT")); err != nil {
			t.Fatal(err)
		}
	}
	publish("a")
	return directory, publish
}

func TestPoll(t *testing.T) {
	directory, publish := published(t)
	engine := open(t, directory, adclick.Options{})
	generation := must[uint64](t)
	first := generation(engine.Generation())
	if got := generation(engine.Poll()); got != 0 {
		t.Errorf("nothing is new, and %x was activated", got)
	}
	publish("b")
	second := generation(engine.Poll())
	if second == 0 || second == first || second != generation(engine.Generation()) {
		t.Errorf("activated %x after %x", second, first)
	}
	publish("missing")
	_, err := engine.Poll()
	expect(t, "a bundle that is not there", err, adclick.ErrIO)
	expect(t, "the last look", engine.FollowError(), adclick.ErrIO)
	if generation(engine.Generation()) != second {
		t.Error("a failed look changed what is live")
	}
	publish("b")
	generation(engine.Poll())
	if err := engine.FollowError(); err != nil {
		t.Error(err)
	}
}

func TestFollow(t *testing.T) {
	directory, publish := published(t)
	engine := open(t, directory, adclick.Options{Follow: time.Millisecond})
	generation := must[uint64](t)
	first := generation(engine.Generation())
	publish("b")
	for end := time.Now().Add(30 * time.Second); generation(engine.Generation()) == first; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the new bundle did not become live")
		}
	}
}

func TestUpsert(t *testing.T) {
	engine := open(t, bundle, adclick.Options{})
	handle := must[uint32](t)
	ads := handle(engine.Table("ads"))
	rate, embedding := handle(engine.Column(ads, "ctr_7d")), handle(engine.Column(ads, "text_embedding"))
	scorer := newScorer(t, engine, 4)
	in := inputOf(t, engine, 1)
	in.Candidates[0].AdKey = adclick.Hash("a1")
	score := func() float32 {
		t.Helper()
		pctr := make([]float32, 1)
		must[adclick.Outcome](t)(scorer.Score(in, pctr, nil))
		return pctr[0]
	}
	before := score()

	rows := []adclick.Row{{Key: adclick.Hash("a1"), NumValues: 1}}
	add := adclick.Upsert{Table: ads, Operation: adclick.Increment, Rows: rows,
		Values: []adclick.Value{{Feature: rate, Number: 0.02}}}
	done := must[adclick.UpsertResult](t)(engine.Upsert(add))
	if done.Applied != 1 || done.Stale != 0 || done.Evicted != 0 {
		t.Errorf("%+v", done)
	}
	more := score()
	if more <= before {
		t.Errorf("pCTR %v with a higher click rate, %v before", more, before)
	}
	if info := must[adclick.TableInfo](t)(engine.TableInfo(ads)); info.OverlayRows != 1 {
		t.Errorf("%+v", info)
	}
	set := adclick.Upsert{Table: ads, TimeUS: 1_000_000, Rows: rows, Values: []adclick.Value{{Feature: rate}}}
	if done := must[adclick.UpsertResult](t)(engine.Upsert(set)); done.Applied != 0 || done.Stale != 1 {
		t.Errorf("an old write: %+v", done)
	}
	if got := score(); got != more {
		t.Errorf("an old write changed pCTR from %v to %v", more, got)
	}

	_, err := engine.Upsert(adclick.Upsert{Table: ads, Rows: rows, Values: []adclick.Value{{Feature: embedding}}})
	expect(t, "one number for a vector of four", err, adclick.ErrInvalidArgument)
	_, err = engine.Upsert(adclick.Upsert{Table: ads, Rows: []adclick.Row{{Key: 0}}})
	expect(t, "key 0", err, adclick.ErrInvalidArgument)
	_, err = engine.Upsert(adclick.Upsert{Table: ads + 1000, Rows: rows, Values: set.Values})
	expect(t, "no such table", err, adclick.ErrInvalidArgument)
	_, err = engine.TableInfo(ads + 1000)
	expect(t, "no such table", err, adclick.ErrInvalidArgument)
}

func TestMetrics(t *testing.T) {
	engine := open(t, bundle, adclick.Options{})
	scorer := newScorer(t, engine, 10)
	in, winners := inputOf(t, engine, 10), make([]adclick.Winner, 2)
	for range 3 {
		must[adclick.Outcome](t)(scorer.Decide(in, winners, nil))
	}
	text := string(must[[]byte](t)(engine.AppendMetrics([]byte("before\n"))))
	for _, line := range []string{
		`adclick_requests_total{call="decide",status="ok"} 3`, `adclick_candidates_scored_total{precision="exact"} 30`,
	} {
		if !strings.HasPrefix(text, "before\n# ") || !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("%s is not in\n%s", line, text)
		}
	}
	room := make([]byte, 0, 64<<10)
	if again := must[[]byte](t)(engine.AppendMetrics(room)); cap(again) != cap(room) {
		t.Errorf("a text of %d bytes was moved although there was room for %d", len(again), cap(room))
	}
}

func TestUseAfterClose(t *testing.T) {
	engine := must[*adclick.Engine](t)(adclick.Open(bundle, adclick.Options{}))
	in := inputOf(t, engine, 2)
	scorer := newScorer(t, engine, 2)
	staged := must[*adclick.Staged](t)(engine.Stage(renewed))
	for range 3 {
		if err := engine.Close(); err != nil {
			t.Fatal(err)
		}
	}
	numbers := make([]float32, 2)
	for name, call := range map[string]func() error{
		"Stage":          func() error { _, err := engine.Stage(renewed); return err },
		"Activate":       func() error { _, err := staged.Activate(); return err },
		"Rollback":       func() error { _, err := engine.Rollback(); return err },
		"Poll":           func() error { _, err := engine.Poll(); return err },
		"PrecisionError": engine.PrecisionError,
		"AdCache":        func() error { _, err := engine.AdCache(); return err },
		"Model":          func() error { _, err := engine.Model(); return err },
		"Inputs":         func() error { _, err := engine.Inputs(); return err },
		"Check":          func() error { _, err := engine.Check(in); return err },
		"InputError":     engine.InputError,
		"FollowState":    func() error { _, err := engine.FollowState(); return err },
		"Switch":         func() error { return engine.Switch(adclick.SwitchAd, 1, 1) },
		"Switched":       func() error { _, err := engine.Switched(adclick.SwitchAd, 1); return err },
		"RemoveRows":     func() error { _, err := engine.RemoveRows(1, 2); return err },
		"ClearRows":      func() error { _, err := engine.ClearRows(1); return err },
		"FollowError":    engine.FollowError,
		"AppendMetrics":  func() error { _, err := engine.AppendMetrics(nil); return err },
		"Generation":     func() error { _, err := engine.Generation(); return err },
		"Feature":        func() error { _, err := engine.Feature("device_type"); return err },
		"Table":          func() error { _, err := engine.Table("users"); return err },
		"Column":         func() error { _, err := engine.Column(1, "ctr_7d"); return err },
		"Upsert":         func() error { _, err := engine.Upsert(adclick.Upsert{}); return err },
		"TableInfo":      func() error { _, err := engine.TableInfo(1); return err },
		"NewScorer":      func() error { _, err := engine.NewScorer(0); return err },
		"NewPool":        func() error { _, err := engine.NewPool(2, 0); return err },
		"Score":          func() error { _, err := scorer.Score(in, numbers, nil); return err },
		"ScoreDense":     func() error { _, err := scorer.ScoreDense(nil, 29, nil, nil); return err },
		"Decide":         func() error { _, err := scorer.Decide(in, make([]adclick.Winner, 2), nil); return err },
	} {
		expect(t, name+" on a closed engine", call(), adclick.ErrClosed)
	}
	if engine.Kernel() != "" {
		t.Errorf("a closed engine has kernel %q", engine.Kernel())
	}
	// The auction alone needs the scorer's memory and no engine.
	n, err := scorer.RunAuction(adclick.AuctionOptions{}, in.Candidates, []float32{0.1, 0.1}, nil,
		make([]adclick.Winner, 2), nil)
	if err != nil || n != 1 {
		t.Errorf("%d winners, %v", n, err)
	}
}
