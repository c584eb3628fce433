package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"adclick.io/adclick"
)

const (
	repository    = "../../.."
	openrtb       = repository + "/examples/openrtb"
	campaignsFile = openrtb + "/campaigns.json"
)

// A directory of bundles, packed as MAPPING.md says; CURRENT names `a`, and `b` has other click rates.
var bundles string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	directory, err := os.MkdirTemp("", "adserver-go-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(directory)
	bundles = filepath.Join(directory, "bundles")
	weights, rates := filepath.Join(directory, "weights.safetensors"), filepath.Join(directory, "ads.csv")
	if err := os.WriteFile(rates, []byte("ad_id,ctr_7d,impressions_7d,quality,topics\n"+
		"acme-300x250,0.05,163673,0.71,0.25 0.53 0.56 -0.29\n"), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	pack := []string{repository + "/target/release/adclick", "pack", "--as-of", "2026-11-01T00:00:00Z", "--out"}
	for _, command := range [][]string{
		{"python3", openrtb + "/weights.py", weights},
		append(pack[:len(pack):len(pack)], filepath.Join(bundles, "a"), "--publish", "--weights", weights,
			"--schema", openrtb+"/schema.toml", "--table", "users="+openrtb+"/users.csv", "--table", "ads="+openrtb+"/ads.csv",
			"--table", "user_advertiser="+openrtb+"/user_advertiser.csv"),
		append(pack[:len(pack):len(pack)], filepath.Join(bundles, "b"), "--from", filepath.Join(bundles, "a"),
			"--table", "ads="+rates),
	} {
		if told, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v: %v (does `make cli` come first?)\n%s", command, err, told)
			return 1
		}
	}
	return m.Run()
}

// A server on the portable kernel, whose prices are the same on every machine.
func start(t testing.TB) *server {
	t.Helper()
	campaigns, err := loadCampaigns(campaignsFile, "http://ads.example/events")
	if err != nil {
		t.Fatal(err)
	}
	engine, err := adclick.Open(bundles, adclick.Options{Kernel: "portable"})
	if err != nil {
		t.Fatal(err)
	}
	bidder, err := newBidder(campaigns, engine, 2, 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		bidder.pool.Close()
		engine.Close()
	})
	return newServer(bidder)
}

// The whole program, on a port of its own; stop ends it.
func startProgram(t *testing.T, directory string) (url string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	address, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		s := settings{listen: "127.0.0.1:0", bundles: directory, campaigns: campaignsFile, threads: 2, margin: 20 * time.Millisecond,
			head: 5 * time.Second, body: 10 * time.Second, connections: 100}
		ended <- serve(ctx, s, func(at string) { address <- at })
	}()
	t.Cleanup(cancel)
	select {
	case at := <-address:
		return "http://" + at, func() error { cancel(); return <-ended }
	case err := <-ended:
		t.Fatal(err)
		return "", nil
	}
}
