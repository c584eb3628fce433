// An ad server that speaks OpenRTB and decides in its own process. ../../openrtb/MAPPING.md says what it does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"adclick.io/adclick"
)

type settings struct {
	listen, bundles, campaigns string
	threads                    int
	margin                     time.Duration
	drain, head, body          time.Duration
	connections, forwarded     int
	events                     string // the URL that bids lead to, without the path
	log, key                   string
	slates                     float64
}

// An http or https URL to which a path is added.
var baseText = regexp.MustCompile(`^https?://[A-Za-z0-9.:\[\]_~-]([A-Za-z0-9.:\[\]_~/-]*[A-Za-z0-9.:\[\]_~-])?$`)

func main() {
	var s settings
	flag.StringVar(&s.listen, "listen", "127.0.0.1:8080", "`HOST:PORT`; port 0 takes a free one")
	flag.StringVar(&s.bundles, "bundles", "", "`directory` with CURRENT, followed, or a bundle (required)")
	flag.StringVar(&s.campaigns, "campaigns", "", "campaigns `file` (required)")
	flag.IntVar(&s.threads, "threads", runtime.NumCPU(), "requests that are decided at once")
	margin := flag.Int("margin-ms", 20, "what is taken off tmax")
	drain := flag.Int("drain-ms", 5000, "from SIGTERM until it listens no more; /healthz says 503 meanwhile")
	head := flag.Int("head-ms", 5000, "how long the head of a request may take")
	body := flag.Int("body-ms", 10_000, "how long the body of a request may take after its head")
	flag.IntVar(&s.connections, "connections", 4096, "how many connections at once; more are closed")
	flag.IntVar(&s.forwarded, "forwarded", 0, "proxies before this server, whose x-forwarded-for is believed")
	flag.StringVar(&s.events, "events-url", "", "`URL` that bids lead to, without the path (default http:// and what it listens on)")
	flag.StringVar(&s.log, "log", "", "`directory` of the log of decisions and events")
	flag.StringVar(&s.key, "log-key-file", "", "`file` with the key of impression ids, which a fleet shares; needed with --log")
	flag.Float64Var(&s.slates, "log-slates", 1, "share of requests that are logged with the values that the model saw")
	flag.Parse()
	if s.events == "" {
		s.events = "http://" + s.listen
	}
	within := func(number, least, most int) bool { return least <= number && number <= most }
	if flag.NArg() > 0 || s.bundles == "" || s.campaigns == "" || !within(s.threads, 1, 1024) || !within(*margin, 0, 60_000) ||
		!within(*drain, 0, 600_000) || !within(*head, 1, 60_000) || !within(*body, 1, 60_000) || !within(s.connections, 1, 1_000_000) ||
		!within(s.forwarded, 0, 8) || !baseText.MatchString(s.events) || !(s.slates >= 0 && s.slates <= 1) || s.log != "" && s.key == "" {
		fmt.Fprintln(os.Stderr, "adserver: --bundles and --campaigns are required, and numbers within their ranges: openrtb/MAPPING.md")
		flag.Usage()
		os.Exit(2)
	}
	for to, ms := range map[*time.Duration]int{&s.margin: *margin, &s.drain: *drain, &s.head: *head, &s.body: *body} {
		*to = time.Duration(ms) * time.Millisecond
	}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	if err := serve(stop, s, func(address string) { fmt.Println("listening on http://" + address) }); err != nil {
		fmt.Fprintln(os.Stderr, "adserver:", err)
		os.Exit(1)
	}
}

// Serves until stop is done, and for the drain period after it; ready is told the address.
func serve(stop context.Context, s settings, ready func(address string)) error {
	campaigns, err := loadCampaigns(s.campaigns, s.events+"/events")
	if err != nil {
		return err
	}
	options := adclick.Options{}
	if _, err := os.Stat(filepath.Join(s.bundles, "CURRENT")); err == nil {
		options.Follow = time.Second
	}
	if s.key != "" {
		if options.ImpressionKeyHigh, options.ImpressionKey, err = readKey(s.key); err != nil {
			return err
		}
	}
	engine, err := adclick.Open(s.bundles, options)
	if err != nil {
		return err
	}
	defer engine.Close()
	if s.log != "" {
		// Of a slate its winners alone, with the values that the model saw: rows to train on.
		if err := engine.OpenLog(s.log, adclick.LogOptions{SlateShare: s.slates, SlateCandidates: math.MaxUint32}); err != nil {
			return err
		}
	}
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
	handler.patience, handler.forwarded, handler.logs = s.body, s.forwarded, s.log != ""
	web := &http.Server{
		Handler: handler, ReadHeaderTimeout: s.head, WriteTimeout: s.body + time.Minute, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10,
	}
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(&limited{Listener: listener, most: int64(s.connections)}) }()
	log.Printf("generation %s, %d ads, kernel %s", generationOf(engine), len(campaigns.ads), engine.Kernel())
	ready(listener.Addr().String())
	select {
	case err := <-failed:
		return err
	case <-stop.Done():
	}
	handler.draining.Store(true)
	select {
	case err := <-failed:
		return err
	case <-time.After(s.drain):
	}
	patience, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := web.Shutdown(patience); errors.Is(err, context.DeadlineExceeded) {
		return web.Close() // what is left is cut off
	} else if err != nil {
		return err
	}
	return nil
}

// The key of impression ids, its upper half first: 32 hex digits, and a line's end at most.
func readKey(path string) (high, low uint64, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, err
	}
	digits := strings.TrimRight(string(text), "\r\n")
	if len(digits) == 32 {
		var bad error
		high, err = strconv.ParseUint(digits[:16], 16, 64)
		low, bad = strconv.ParseUint(digits[16:], 16, 64)
		if err == nil && bad == nil && high|low != 0 {
			return high, low, nil
		}
	}
	return 0, 0, fmt.Errorf("%s: expected a key of 32 hex digits that are not all 0", path)
}

func generationOf(engine *adclick.Engine) string {
	generation, err := engine.Generation()
	if err != nil {
		return err.Error()
	}
	return hex(generation)
}
