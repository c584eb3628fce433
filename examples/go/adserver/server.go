package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prebid/openrtb/v20/openrtb3"
)

const (
	mostBody = 262_144
	mostRead = 16 << 20 // of a body that is too long
)

// The ad server's HTTP side.
type server struct {
	bidder    *bidder
	patience  time.Duration // with a body that is on its way
	forwarded int           // proxies before this server, whose X-Forwarded-For is believed
	logs      bool
	draining  atomic.Bool
	bids      atomic.Uint64
	noBids    atomic.Uint64
	invalid   atomic.Uint64
	events    eventCounts
	buffers   sync.Pool
}

func newServer(b *bidder) *server {
	return &server{bidder: b, patience: time.Minute, buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }}}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	allowed, handle := []string{http.MethodGet, http.MethodHead}, s.healthz
	switch r.URL.Path {
	case "/openrtb2/auction":
		allowed, handle = []string{http.MethodPost}, func(w http.ResponseWriter, r *http.Request) { s.auction(w, r, began) }
	case "/healthz":
	case "/metrics":
		handle = s.metrics
	default:
		name, isEvent := strings.CutPrefix(r.URL.Path, "/events/")
		if _, known := eventParameters[name]; !isEvent || !known || r.URL.RawPath != "" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		allowed = []string{http.MethodGet, http.MethodPost}
		handle = func(w http.ResponseWriter, r *http.Request) { s.event(w, r, name) }
	}
	if !slices.Contains(allowed, r.Method) {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	handle(w, r)
}

func (s *server) auction(w http.ResponseWriter, r *http.Request, began time.Time) {
	packed := false
	switch lower(r.Header.Get("Content-Encoding")) {
	case "", "identity":
	case "gzip", "x-gzip":
		packed = true
	default:
		w.Header().Set("Accept-Encoding", "gzip")
		w.WriteHeader(http.StatusUnsupportedMediaType)
		return
	}
	// For the whole body: who sends byte by byte is cut off, too. Handlers in tests have no connection.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.patience))
	buffer := s.buffers.Get().(*bytes.Buffer)
	defer s.buffers.Put(buffer)
	buffer.Reset()
	n, err := io.Copy(buffer, io.LimitReader(r.Body, mostBody+1))
	switch {
	case n > mostBody:
		_, _ = io.CopyN(io.Discard, r.Body, mostRead-n)
		w.Header().Set("Connection", "close")
		s.refuse(w, &refusal{what: "too_large"})
		return
	case err != nil:
		panic(http.ErrAbortHandler) // no more comes: the connection is closed
	case packed:
		if refused := unpack(buffer); refused != nil {
			s.refuse(w, refused)
			return
		}
	}
	asked, refused := readRequest(buffer.Bytes())
	if refused != nil {
		s.refuse(w, refused)
		return
	}
	answer, why := s.bid(r, asked, began)
	if answer == nil {
		s.noBids.Add(1)
		w.Header().Set("X-Adclick-Nbr", strconv.FormatInt(int64(why), 10))
		w.WriteHeader(http.StatusNoContent)
		return
	}
	s.bids.Add(1)
	buffer.Reset() // what was read is not needed any more: the request's texts are copies
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(answer); err != nil {
		panic(err) // nothing in a response can fail to be written as JSON
	}
	write(w, http.StatusOK, "application/json", bytes.TrimSuffix(buffer.Bytes(), []byte("\n")))
}

// Puts the content of a gzip file in its place.
func unpack(buffer *bytes.Buffer) *refusal {
	reader, err := gzip.NewReader(bytes.NewReader(buffer.Bytes()))
	if err != nil {
		return &refusal{what: "encoding"}
	}
	content, err := io.ReadAll(io.LimitReader(reader, mostBody+1))
	switch {
	case len(content) > mostBody:
		return &refusal{what: "too_large"}
	case err != nil:
		return &refusal{what: "encoding"}
	}
	buffer.Reset()
	_, _ = buffer.Write(content)
	return nil
}

// A mistake of this server's own is a no-bid, not a failure of the exchange's request.
func (s *server) bid(r *http.Request, asked *asked, began time.Time) (answer *bidResponse, why openrtb3.NoBidReason) {
	defer func() {
		if mistake := recover(); mistake != nil {
			log.Printf("no bid: %v\n%s", mistake, debug.Stack())
			answer, why = nil, openrtb3.NoBidTechnicalError
		}
	}()
	return s.bidder.bid(r.Context(), asked, began)
}

func (s *server) refuse(w http.ResponseWriter, why *refusal) {
	s.invalid.Add(1)
	writeRefusal(w, why)
}

func writeRefusal(w http.ResponseWriter, why *refusal) {
	writeJSON(w, http.StatusBadRequest, struct {
		NBR   openrtb3.NoBidReason `json:"nbr"`
		Error string               `json:"error"`
		At    string               `json:"at"`
	}{openrtb3.NoBidInvalidRequest, why.what, why.at})
}

func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	health := struct {
		Status      string `json:"status"`
		Generation  string `json:"generation,omitempty"`
		Ads         int    `json:"ads,omitempty"`
		FollowError string `json:"follow_error,omitempty"`
		LogError    string `json:"log_error,omitempty"`
	}{Status: "ok", Ads: len(s.bidder.campaigns.ads)}
	generation, err := s.bidder.engine.Generation()
	if s.draining.Load() || err != nil {
		health.Status, health.Ads = "stopping", 0
		writeJSON(w, http.StatusServiceUnavailable, health)
		return
	}
	health.Generation = hex(generation)
	if err := s.bidder.engine.FollowError(); err != nil {
		health.FollowError = err.Error()
	}
	if s.logs {
		if err := s.bidder.engine.LogError(); err != nil {
			health.LogError = err.Error()
		}
	}
	writeJSON(w, http.StatusOK, health)
}

func (s *server) metrics(w http.ResponseWriter, _ *http.Request) {
	own, err := s.bidder.engine.AppendMetrics(make([]byte, 0, 64<<10))
	if err != nil {
		log.Printf("metrics: %v", err) // the engine is closed: the server is about to end
	}
	text := bytes.NewBuffer(own)
	text.WriteString("# HELP adserver_responses_total Answers to bid requests.\n# TYPE adserver_responses_total counter\n")
	for _, one := range []struct {
		result string
		count  *atomic.Uint64
	}{{"bid", &s.bids}, {"no_bid", &s.noBids}, {"invalid", &s.invalid}} {
		fmt.Fprintf(text, "adserver_responses_total{result=%q} %d\n", one.result, one.count.Load())
	}
	text.WriteString("# HELP adserver_events_total Events and notices that were sent.\n# TYPE adserver_events_total counter\n")
	for _, one := range []struct {
		result string
		count  *atomic.Uint64
	}{{"recorded", &s.events.recorded}, {"flagged", &s.events.flagged}, {"noticed", &s.events.noticed}, {"invalid", &s.events.invalid}} {
		fmt.Fprintf(text, "adserver_events_total{result=%q} %d\n", one.result, one.count.Load())
	}
	write(w, http.StatusOK, "text/plain; version=0.0.4", text.Bytes())
}

func writeJSON(w http.ResponseWriter, status int, what any) {
	text, err := json.Marshal(what)
	if err != nil {
		panic(errors.Join(errors.New("a text that is no JSON"), err)) // our own structs
	}
	write(w, status, "application/json", text)
}

func write(w http.ResponseWriter, status int, kind string, text []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client may be gone
}
