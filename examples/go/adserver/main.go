// An ad server that speaks OpenRTB and decides in its own process. ../../openrtb/MAPPING.md says what it does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"adclick.io/adclick"
)

type settings struct {
	listen, bundles, campaigns string
	threads                    int
	margin                     time.Duration
}

func main() {
	var s settings
	flag.StringVar(&s.listen, "listen", "127.0.0.1:8080", "`HOST:PORT`; port 0 takes a free one")
	flag.StringVar(&s.bundles, "bundles", "", "`directory` with CURRENT, followed, or a bundle (required)")
	flag.StringVar(&s.campaigns, "campaigns", "", "campaigns `file` (required)")
	flag.IntVar(&s.threads, "threads", runtime.NumCPU(), "requests that are decided at once")
	margin := flag.Int("margin-ms", 20, "what is taken off tmax")
	flag.Parse()
	if flag.NArg() > 0 || s.bundles == "" || s.campaigns == "" || s.threads < 1 || *margin < 0 {
		fmt.Fprintln(os.Stderr, "adserver: --bundles and --campaigns are required, --threads is 1 or more, --margin-ms 0 or more")
		flag.Usage()
		os.Exit(2)
	}
	s.margin = time.Duration(*margin) * time.Millisecond
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	if err := serve(stop, s, func(address string) { fmt.Println("listening on http://" + address) }); err != nil {
		fmt.Fprintln(os.Stderr, "adserver:", err)
		os.Exit(1)
	}
}

// Serves until stop is done; ready is told the address.
func serve(stop context.Context, s settings, ready func(address string)) error {
	campaigns, err := loadCampaigns(s.campaigns)
	if err != nil {
		return err
	}
	options := adclick.Options{}
	if _, err := os.Stat(filepath.Join(s.bundles, "CURRENT")); err == nil {
		options.Follow = time.Second
	}
	engine, err := adclick.Open(s.bundles, options)
	if err != nil {
		return err
	}
	defer engine.Close()
	bidder, err := newBidder(campaigns, engine, s.threads, s.margin)
	if err != nil {
		return err
	}
	defer bidder.pool.Close()
	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return err
	}
	handler := newServer(bidder)
	web := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
	}
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	log.Printf("generation %s, %d ads, kernel %s", generationOf(engine), len(campaigns.ads), engine.Kernel())
	ready(listener.Addr().String())
	select {
	case err := <-failed:
		return err
	case <-stop.Done():
	}
	handler.stopping.Store(true)
	patience, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := web.Shutdown(patience); errors.Is(err, context.DeadlineExceeded) {
		return web.Close() // what is left is cut off
	} else if err != nil {
		return err
	}
	return nil
}

func generationOf(engine *adclick.Engine) string {
	generation, err := engine.Generation()
	if err != nil {
		return err.Error()
	}
	return hex(generation)
}
