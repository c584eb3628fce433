package adclick_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"adclick.io/adclick"
)

func TestModelAndInputs(t *testing.T) {
	engine := open(t, bundle, adclick.Options{})
	model := must[adclick.Model](t)(engine.Model())
	if model.Generation != must[uint64](t)(engine.Generation()) || model.Width != 29 || model.Inputs == 0 || model.Tables == 0 {
		t.Errorf("%+v", model)
	}
	inputs := must[[]adclick.ModelInput](t)(engine.Inputs())
	if len(inputs) != model.Inputs {
		t.Errorf("%d inputs, expected %d", len(inputs), model.Inputs)
	}
	byName := map[string]adclick.ModelInput{}
	for _, input := range inputs {
		byName[input.Name] = input
	}
	device := byName["device_type"]
	if device.Feature != must[uint32](t)(engine.Feature("device_type")) || device.Side != adclick.SideRequest ||
		device.Kind != adclick.KindCategory || device.Reading != adclick.ReadPassed || device.Source != adclick.SourceContext {
		t.Errorf("%+v", device)
	}
	if depth := byName["session_depth"]; depth.Kind != adclick.KindNumber || depth.DefaultNumber == nil || depth.DefaultID != nil {
		t.Errorf("%+v", depth)
	}
	read := 0
	for _, input := range inputs {
		if input.Reading == adclick.ReadTable {
			read++
			if !strings.Contains(input.From, ".") {
				t.Errorf("%+v", input)
			}
		}
	}
	if read == 0 {
		t.Error("no input is read from a table")
	}
}

func TestCheck(t *testing.T) {
	engine := open(t, bundle, adclick.Options{})
	in := inputOf(t, engine, 3)
	if found := must[adclick.Check](t)(engine.Check(in)); found.Errors != 0 {
		t.Errorf("%+v", found)
	}
	// Passed with a candidate, and read with the request.
	device := must[uint32](t)(engine.Feature("device_type"))
	first := uint32(len(in.CandidateValues))
	in.CandidateValues = append(in.CandidateValues, adclick.Value{Feature: device, ID: 7})
	in.Candidates[0].FirstValue, in.Candidates[0].NumValues = first, 1
	found := must[adclick.Check](t)(engine.Check(in))
	if found.WrongSide != 1 || found.Errors != 1 || !strings.Contains(found.Text, "error: `device_type` is passed with the candidate") {
		t.Errorf("%+v", found)
	}
	if err := engine.InputError(); err != nil {
		t.Error(err)
	}
	outcome := must[adclick.Outcome](t)(newScorer(t, engine, 3).Decide(in, make([]adclick.Winner, 2), nil))
	if outcome.WrongSide != 1 {
		t.Errorf("%+v", outcome)
	}
	expect(t, "after a request with a value on the wrong side", engine.InputError(), adclick.ErrInvalidValue)
	in.Request.UTCOffsetS = 90_000
	_, err := engine.Check(in)
	expect(t, "a request that scoring refuses", err, adclick.ErrInvalidArgument)
}

func TestRowsGo(t *testing.T) {
	engine := open(t, bundle, adclick.Options{})
	table := must[uint32](t)(engine.Table("users"))
	column := must[uint32](t)(engine.Column(table, "ctr_7d"))
	rows := func() uint64 { return must[adclick.TableInfo](t)(engine.TableInfo(table)).OverlayRows }
	write := func(options adclick.Upsert) error {
		options.Table = table
		options.Rows = []adclick.Row{{Key: 5, NumValues: 1}, {Key: 6, NumValues: 1}, {Key: 7, NumValues: 1}}
		options.Values = []adclick.Value{{Feature: column, Number: 0.5}}
		_, err := engine.Upsert(options)
		return err
	}
	if err := write(adclick.Upsert{}); err != nil || rows() != 3 {
		t.Fatal(err, rows())
	}
	if removed := must[uint64](t)(engine.RemoveRows(table, 6, 99)); removed != 1 || rows() != 2 {
		t.Errorf("%d removed, %d left", removed, rows())
	}
	if removed := must[uint64](t)(engine.ClearRows(table)); removed != 2 || rows() != 0 {
		t.Errorf("%d removed, %d left", removed, rows())
	}
	ahead := time.Now().Add(time.Hour).UnixMicro()
	expect(t, "a time an hour ahead", write(adclick.Upsert{TimeUS: ahead}), adclick.ErrInvalidArgument)
	engine = open(t, bundle, adclick.Options{OverlayMaxSkew: -1})
	table = must[uint32](t)(engine.Table("users"))
	column = must[uint32](t)(engine.Column(table, "ctr_7d"))
	if err := write(adclick.Upsert{TimeUS: ahead}); err != nil {
		t.Error(err)
	}
}

func TestSwitches(t *testing.T) {
	engine := open(t, bundle, adclick.Options{SwitchKeys: 1})
	in := inputOf(t, engine, 3)
	in.Candidates[1].CampaignKey = 77
	scorer := newScorer(t, engine, 3)
	reasons := make([]adclick.Reason, 3)
	for _, reason := range []uint32{5, 0} {
		if err := engine.Switch(adclick.SwitchCampaign, 77, reason); err != nil {
			t.Fatal(err)
		}
		if told := must[uint32](t)(engine.Switched(adclick.SwitchCampaign, 77)); told != reason {
			t.Errorf("switched for %d, told %d", reason, told)
		}
		must[adclick.Outcome](t)(scorer.Decide(in, make([]adclick.Winner, 2), reasons))
		if off := reasons[1] == adclick.ReasonSwitchedOff; off != (reason != 0) || reasons[0] == adclick.ReasonSwitchedOff {
			t.Errorf("reason %d: %v", reason, reasons)
		}
	}
	if err := engine.Switch(adclick.SwitchAd, 1, 1); err != nil {
		t.Error(err)
	}
	expect(t, "one switch more than there is room for", engine.Switch(adclick.SwitchAd, 2, 1), adclick.ErrCapacityExceeded)
	expect(t, "key 0", engine.Switch(adclick.SwitchAd, 0, 1), adclick.ErrInvalidArgument)
}

func TestFollowStateAndCloseWithin(t *testing.T) {
	engine := must[*adclick.Engine](t)(adclick.Open(bundle, adclick.Options{}))
	staged := must[*adclick.Staged](t)(engine.Stage(renewed))
	if id := must[uint64](t)(staged.Generation()); id != must[uint64](t)(staged.Activate()) {
		t.Errorf("the staged generation was to be %016x", id)
	}
	state := must[adclick.FollowState](t)(engine.FollowState())
	if state.Follows || state.Activations != 1 || state.Generation != must[uint64](t)(engine.Generation()) || !state.Looked.IsZero() {
		t.Errorf("%+v", state)
	}
	for range 2 {
		if err := engine.CloseWithin(time.Second); err != nil {
			t.Error(err)
		}
	}
}

// A directory whose CURRENT names a good bundle, and beside it one that takes seconds to open: zeros that take no place on disk,
// whose checksum is not the manifest's.
func besideEndless(t *testing.T) (root string) {
	t.Helper()
	const size = 8 << 30
	root = t.TempDir()
	at := filepath.Join(root, "endless")
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.Symlink(bundle, filepath.Join(root, "a")))
	check(os.WriteFile(filepath.Join(root, "CURRENT"), []byte("a\n"), 0o600))
	check(os.Mkdir(at, 0o700))
	check(os.WriteFile(filepath.Join(at, "model.adc"), nil, 0o600))
	check(os.Truncate(filepath.Join(at, "model.adc"), size))
	generation := adclick.Hash(fmt.Sprintf("model model.adc %d %016x\n", size, 1))
	manifest := fmt.Sprintf("format = 1\ngeneration = \"%016x\"\n\n[[file]]\nrole = \"model\"\nname = \"model.adc\"\nbytes = %d\nxxh3 = \"%016x\"\n",
		generation, size, 1)
	check(os.WriteFile(filepath.Join(at, "manifest.toml"), []byte(manifest), 0o600))
	return root
}

func TestCloseWithinDoesNotWaitForABundle(t *testing.T) {
	root := besideEndless(t)
	engine := must[*adclick.Engine](t)(adclick.Open(root, adclick.Options{Follow: time.Millisecond}))
	for must[adclick.FollowState](t)(engine.FollowState()).Looks == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := os.WriteFile(filepath.Join(root, "CURRENT"), []byte("endless\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A look that does not end within 150 ms is in the middle of the bundle.
	for looks := uint64(0); ; {
		state := must[adclick.FollowState](t)(engine.FollowState())
		if looks == state.Looks {
			break
		}
		looks = state.Looks
		time.Sleep(150 * time.Millisecond)
	}
	err := engine.CloseWithin(0)
	expect(t, "closing while a bundle is opened", err, adclick.ErrBusy)
	if err != nil && !strings.Contains(err.Error(), "the following thread") {
		t.Error(err)
	}
	_, err = engine.Generation()
	expect(t, "a call after it", err, adclick.ErrClosed)
	if err := engine.Close(); err != nil {
		t.Error(err)
	}
}

func TestCloseWithinDoesNotWaitForARequest(t *testing.T) {
	const many = 1 << 19
	in := &adclick.Input{Candidates: make([]adclick.Candidate, many)}
	// On a busy machine the request may begin late, or be over.
	for after := time.Millisecond; after < 10*time.Second; after += after / 2 {
		engine := must[*adclick.Engine](t)(adclick.Open(bundle, adclick.Options{}))
		scorer := must[*adclick.Scorer](t)(engine.NewScorer(many))
		ended := make(chan error, 1)
		go func() {
			var winners [1]adclick.Winner
			_, err := scorer.Decide(in, winners[:], nil)
			ended <- err
		}()
		time.Sleep(after)
		err, served := engine.CloseWithin(0), <-ended
		if err := scorer.Close(); err != nil {
			t.Error(err)
		}
		if errors.Is(err, adclick.ErrBusy) && served == nil {
			if !strings.Contains(err.Error(), "requests under way") {
				t.Error(err)
			}
			return
		}
		if served != nil {
			expect(t, "a request of a closed engine", served, adclick.ErrClosed)
		}
	}
	t.Error("no request was under way when its engine was closed")
}
