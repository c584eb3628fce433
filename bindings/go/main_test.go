package adclick_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"adclick.io/adclick"
)

var long = flag.Bool("long", false, "make ten million calls in the test of memory growth")

const repository = "../.."

// Bundles of examples/tables, packed for the tests. `bundles` is the directory that holds them, as a server would open it:
// its CURRENT names `bundle`. In `renewed` one table differs.
var bundles, bundle, renewed string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	directory, err := os.MkdirTemp("", "adclick-go-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(directory)
	bundles = filepath.Join(directory, "bundles")
	bundle, renewed = filepath.Join(bundles, "a"), filepath.Join(bundles, "b")

	other := filepath.Join(directory, "ads.csv")
	rows := "ad_id,ctr_7d,ctr_30d,impressions_7d,advertiser_quality_score,creative_type,text_embedding," +
		"landing_page_quality,engagement_rate,category\n" +
		"a1,0.011,0.012,93000,0.85,1,0.20 -0.12 0.40 0.05,0.9,0.12,sport\n"
	if err := os.WriteFile(other, []byte(rows), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	first := []string{"--weights", repository + "/examples/tables/weights.safetensors",
		"--schema", repository + "/examples/schemas/document_tables.toml", "--out", bundle, "--publish"}
	for _, table := range []string{"users", "ads", "user_advertiser", "user_category"} {
		first = append(first, "--table", table+"="+repository+"/examples/tables/"+table+".csv")
	}
	for _, arguments := range [][]string{first, {"--from", bundle, "--table", "ads=" + other, "--out", renewed}} {
		if err := pack(arguments...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

func pack(arguments ...string) error {
	command := exec.Command(repository+"/target/release/adclick", append([]string{"pack"}, arguments...)...)
	if told, err := command.CombinedOutput(); errors.Is(err, os.ErrNotExist) {
		return errors.New("target/release/adclick is missing: run `make cli` first")
	} else if err != nil {
		return fmt.Errorf("%v: %w\n%s", command, err, told)
	}
	return nil
}

// What a test must have.
func must[T any](t testing.TB) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func open(t testing.TB, path string, options adclick.Options) *adclick.Engine {
	t.Helper()
	engine := must[*adclick.Engine](t)(adclick.Open(path, options))
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return engine
}

func newScorer(t testing.TB, engine *adclick.Engine, maxCandidates int) *adclick.Scorer {
	t.Helper()
	scorer := must[*adclick.Scorer](t)(engine.NewScorer(maxCandidates))
	t.Cleanup(func() {
		if err := scorer.Close(); err != nil {
			t.Error(err)
		}
	})
	return scorer
}

// A request of n candidates by ids, one in five of which the tables know, with two values of the context.
func inputOf(t testing.TB, engine *adclick.Engine, n int) *adclick.Input {
	t.Helper()
	feature := must[uint32](t)
	in := &adclick.Input{
		Request: adclick.Request{
			RequestID: 42, UserKey: adclick.Hash("u1001"), TimeUS: 1_790_000_000_000_000, UTCOffsetS: 3600, Slots: 2,
		},
		Values: []adclick.Value{
			{Feature: feature(engine.Feature("device_type")), ID: adclick.Hash("mobile")},
			{Feature: feature(engine.Feature("session_depth")), Number: 4},
		},
	}
	advertisers := []string{"acme", "globex", "initech"}
	for i := range n {
		in.Candidates = append(in.Candidates, adclick.Candidate{
			AdKey:         adclick.Hash(fmt.Sprint("a", i%20)) + uint64(i/20),
			AdvertiserKey: adclick.Hash(advertisers[i%len(advertisers)]),
			BidKind:       adclick.CPC,
			BidMicros:     int64(400_000 + 1_000*i%50_000),
			ReserveMicros: 50_000,
		})
	}
	return in
}
