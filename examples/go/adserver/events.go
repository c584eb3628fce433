package main

import (
	"cmp"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"adclick.io/adclick"
)

const (
	mostQuery     = 2048
	mostEventBody = 4096
	mostTimeUS    = 1<<53 - 1
	mostStayMS    = 86_400_000
	aheadUS       = 60_000_000
)

// What came of bids, by its name in the path, and the parameters that each may have.
var eventParameters = map[string][]string{
	"win": {"i", "p"}, "billed": {"i", "p"}, "impression": {"i"}, "viewable": {"i", "ms"}, "click": {"i", "ad", "e"},
	"dwell":      {"i", "ms"},
	"conversion": {"i", "advertiser", "order", "click", "user", "value", "cur", "kind", "type", "time_us", "nouser"},
	"feedback":   {"i", "what", "answer"},
}

// Answers to events, counted.
type eventCounts struct {
	recorded, flagged, noticed, invalid atomic.Uint64
}

// What is told of an event: a status of HTTP, what became of it, and where a click goes on to.
type eventAnswer struct {
	status         int
	fate, location string
}

// What an engine saw, the gravest first.
var sights = []struct {
	seen   adclick.Seen
	status int
	fate   string
}{
	{adclick.SeenForged, http.StatusForbidden, "forged"}, {adclick.SeenExpired, http.StatusGone, "expired"},
	{adclick.SeenEarly, http.StatusUnprocessableEntity, "early"}, {adclick.SeenRepeated, http.StatusConflict, "repeated"},
}

func (s *server) event(w http.ResponseWriter, r *http.Request, name string) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method == http.MethodPost {
		if encoding := lower(r.Header.Get("Content-Encoding")); encoding != "" && encoding != "identity" {
			w.WriteHeader(http.StatusUnsupportedMediaType)
			return
		}
	}
	var body []byte
	if r.Method == http.MethodPost {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.patience))
		var err error
		if body, err = io.ReadAll(io.LimitReader(r.Body, mostEventBody+1)); err != nil {
			panic(http.ErrAbortHandler) // no more comes: the connection is closed
		}
		if len(body) > mostEventBody {
			if n, _ := io.CopyN(io.Discard, r.Body, mostRead); n > mostBody {
				w.Header().Set("Connection", "close")
			}
		}
	}
	values, refused := readEvent(name, r.URL.RawQuery, body)
	var answer eventAnswer
	if refused == nil {
		answer, refused = s.record(r, name, values)
	}
	switch {
	case refused != nil:
		s.events.invalid.Add(1)
		writeRefusal(w, refused)
		return
	case answer.fate == "recorded":
		s.events.recorded.Add(1)
	case answer.fate == "noticed":
		s.events.noticed.Add(1)
	default:
		s.events.flagged.Add(1)
	}
	w.Header().Set("X-Adclick-Event", answer.fate)
	switch answer.status {
	case http.StatusNoContent:
		w.WriteHeader(answer.status)
	case http.StatusFound:
		w.Header().Set("Location", answer.location)
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(answer.status)
	default:
		writeJSON(w, answer.status, struct {
			Event string `json:"event"`
		}{answer.fate})
	}
}

// The parameters of an event: of its query, or of a JSON object in its body when there is one. The first by name that is wrong is told,
// since objects have no order.
func readEvent(name, query string, body []byte) (map[string]string, *refusal) {
	switch {
	case len(query) > mostQuery || len(body) > mostEventBody:
		return nil, &refusal{what: "too_large"}
	case query != "" && len(body) > 0:
		return nil, &refusal{what: "conflict"}
	}
	known := eventParameters[name]
	values, why := map[string]string{}, "duplicate"
	var unknown, wrong []string
	if len(body) > 0 {
		why = "type"
		tree, refused := parse(body)
		if refused != nil {
			return nil, refused
		}
		root, ok := tree.(object)
		if !ok {
			return nil, &refusal{what: "type"}
		}
		for called, held := range root {
			switch value := held.(type) {
			case string:
				values[called] = value
			case json.Number:
				values[called] = string(value)
			case nil:
			default:
				wrong = append(wrong, called)
			}
		}
		for called := range root {
			if !slices.Contains(known, called) {
				unknown = append(unknown, called)
			}
		}
	}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		called, value, _ := strings.Cut(pair, "=")
		called, okName := decodePart(called)
		value, okValue := decodePart(value)
		if !okName || !okValue {
			return nil, &refusal{what: "query"}
		}
		if _, twice := values[called]; twice {
			wrong = append(wrong, called)
		}
		if !slices.Contains(known, called) {
			unknown = append(unknown, called)
		}
		values[called] = value
	}
	if len(unknown) > 0 {
		least := slices.Min(unknown)
		if least == "" || len(least) > 32 || strings.Trim(least, "abcdefghijklmnopqrstuvwxyz_") != "" {
			least = ""
		}
		return nil, &refusal{"unknown", least}
	}
	if len(wrong) > 0 {
		return nil, &refusal{why, slices.Min(wrong)}
	}
	return values, nil
}

// A part of a query without its escapes: printable ASCII.
func decodePart(part string) (string, bool) {
	var out strings.Builder
	for i := 0; i < len(part); i++ {
		c := part[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if i+3 > len(part) {
				return "", false
			}
			number, err := strconv.ParseUint(part[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			c, i = byte(number), i+2
		}
		if c < ' ' || c > '~' {
			return "", false
		}
		out.WriteByte(c)
	}
	return out.String(), true
}

// The values of an event, checked one by one; keeps the first refusal.
type eventReader struct {
	values  map[string]string
	refused *refusal
}

func (r *eventReader) refuse(what, name string) {
	r.refused = cmp.Or(r.refused, &refusal{what, name})
}

// A text that is not empty; ok is false when it is not there.
func (r *eventReader) text(name string, most int) (text string, ok bool) {
	text, ok = r.values[name]
	switch {
	case ok && text == "":
		r.refuse("empty", name)
	case len(text) > most:
		r.refuse("range", name)
	}
	return text, ok
}

func (r *eventReader) need(name string, most int) string {
	text, ok := r.text(name, most)
	if !ok {
		r.refuse("missing", name)
	}
	return text
}

func (r *eventReader) int(name string, least, most, otherwise int64) int64 {
	text, ok := r.values[name]
	if !ok {
		return otherwise
	}
	digits := strings.TrimPrefix(text, "-")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		r.refuse("type", name)
		return otherwise
	}
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil || number < least || number > most {
		r.refuse("range", name)
	}
	return number
}

// The place of a word in a list, from 0; -1 when it is not there.
func (r *eventReader) word(name string, words ...string) int {
	text, ok := r.values[name]
	if !ok {
		return -1
	}
	at := slices.Index(words, text)
	if at < 0 {
		r.refuse("range", name)
	}
	return at
}

// An impression: 32 hex digits, and n after them when nothing of the user may be kept.
func (r *eventReader) impression(into *adclick.Event) bool {
	text, ok := r.values["i"]
	if !ok {
		return false
	}
	digits := text
	if len(text) == 33 {
		digits = strings.TrimSuffix(text, "n")
	}
	if len(digits) != 32 || strings.Trim(digits, "0123456789abcdef") != "" {
		r.refuse("type", "i")
		return true
	}
	into.ImpressionIDHigh, _ = strconv.ParseUint(digits[:16], 16, 64)
	into.ImpressionID, _ = strconv.ParseUint(digits[16:], 16, 64)
	if into.ImpressionIDHigh|into.ImpressionID == 0 {
		r.refuse("range", "i")
	}
	if len(text) == 33 {
		into.Flags = adclick.KeepNoUser
	}
	return true
}

func (r *eventReader) conversion(c *campaigns, now int64, into *adclick.Event) {
	advertiser := r.need("advertiser", 256)
	if c.advertiser[advertiser] == nil {
		r.refuse("unknown", "advertiser")
	}
	into.AdvertiserKey, into.OrderID = adclick.Hash(advertiser), adclick.Hash(r.need("order", 128))
	if click, ok := r.text("click", 64); ok {
		into.ClickID = adclick.Hash(click)
	}
	if user, ok := r.text("user", 256); ok {
		into.UserKey = adclick.Hash(user)
	}
	micros := int64(0)
	if value, ok := r.values["value"]; ok {
		if !amountText.MatchString(value) {
			r.refuse("type", "value")
			return
		}
		whole, fraction, _ := strings.Cut(value, ".")
		micros, _ = strconv.ParseInt(whole+(fraction + "000000")[:6], 10, 64)
	}
	rate := int64(rateOfOwn)
	if code, ok := r.text("cur", 3); ok {
		if rate = c.rates[code]; rate == 0 {
			r.refuse("unknown", "cur")
		}
	}
	into.ValueMicros, _ = mulDiv(micros, rate, rateOfOwn)
	into.ConversionKind = adclick.ConversionKind(max(0, r.word("kind", "new", "restated", "retracted")))
	into.ConversionType = uint32(r.int("type", 0, 1<<31-1, 0))
	into.TimeUS = r.int("time_us", 1, min(mostTimeUS, now+aheadUS), now)
	if r.int("nouser", 0, 1, 0) == 1 {
		into.Flags = adclick.KeepNoUser
	}
}

func (s *server) record(r *http.Request, name string, values map[string]string) (eventAnswer, *refusal) {
	read := &eventReader{values: values}
	c, engine := s.bidder.campaigns, s.bidder.engine
	event := adclick.Event{TimeUS: time.Now().UnixMicro()}
	named := read.impression(&event)
	if !named && name != "conversion" {
		read.refuse("missing", "i")
	}
	var shown *ad
	var call func(adclick.Event) (adclick.Seen, error)
	switch name {
	case "win", "billed":
		if len(values["p"]) > 64 {
			read.refuse("range", "p")
		}
		return eventAnswer{status: http.StatusNoContent, fate: "noticed"}, read.refused
	case "viewable", "dwell":
		ms := read.int("ms", 0, mostStayMS, -1)
		if ms < 0 && name == "dwell" {
			read.refuse("missing", "ms")
		}
		event.DurationUS = 1000 * max(0, ms)
		if call = engine.RecordViewable; name == "dwell" {
			call = engine.RecordDwell
		}
	case "click":
		if id, ok := read.text("ad", longest); ok {
			if shown = c.byID[id]; shown == nil {
				read.refuse("unknown", "ad")
			}
		}
		if id, ok := read.text("e", 64); ok {
			event.EventID = adclick.Hash(id)
		}
		call = engine.RecordClick
	case "conversion":
		read.conversion(c, event.TimeUS, &event)
		if !named && event.ClickID == 0 && event.UserKey == 0 {
			read.refuse("missing", "i")
		}
		call = engine.RecordConversion
	case "feedback":
		what := read.word("what", "hidden", "reported", "answered")
		if what < 0 {
			read.refuse("missing", "what")
		}
		event.Feedback = adclick.Feedback(what + 1)
		event.Answer = int32(read.int("answer", -1<<31, 1<<31-1, 0))
		call = engine.RecordFeedback
	default:
		call = engine.RecordImpression
	}
	if read.refused != nil {
		return eventAnswer{}, read.refused
	}
	if name != "conversion" { // a shop's server reports those: it is not the user's address
		if r.Header.Get("DNT") == "1" || r.Header.Get("Sec-GPC") == "1" {
			event.Flags = adclick.KeepNoUser
		}
		if event.Flags == 0 {
			event.IpClass = addressClass(s.addressOf(r))
		}
		purpose := ""
		for _, header := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
			purpose += " " + r.Header.Get(header)
		}
		event.AgentClass = agentClass(r.UserAgent(), purpose)
	}
	seen, err := call(event)
	if err != nil {
		log.Printf("the engine refused an event: %v", err)
		return eventAnswer{status: http.StatusServiceUnavailable, fate: "failed"}, nil
	}
	answer := eventAnswer{status: http.StatusNoContent, fate: "recorded"}
	for _, sight := range sights {
		if seen&sight.seen != 0 {
			answer.status, answer.fate = sight.status, sight.fate
			break
		}
	}
	if shown != nil && shown.landingURL != "" && answer.status != http.StatusForbidden {
		answer.status, answer.location = http.StatusFound, shown.landingURL
	}
	return answer, nil
}

// The client's address; that of the last proxy which is believed, when there are some.
func (s *server) addressOf(r *http.Request) string {
	if s.forwarded == 0 {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		return host
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	if len(hops) < s.forwarded {
		return ""
	}
	return strings.Trim(hops[len(hops)-s.forwarded], " \t")
}

// A hash of the first 24 bits of an address (IPv4) or 48 (IPv6); 0 when it is none.
func addressClass(text string) uint64 {
	address, err := netip.ParseAddr(text)
	if err != nil || address.Zone() != "" {
		return 0
	}
	address = address.Unmap()
	bytes := address.AsSlice()[:3]
	if address.Is6() {
		bytes = address.AsSlice()[:6]
	}
	digits := ""
	for _, b := range bytes {
		digits += hex(uint64(b))[14:]
	}
	return adclick.Hash(digits)
}

func agentClass(userAgent, purpose string) adclick.Agent {
	has := func(text string, words ...string) bool {
		text = lower(text)
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
	}
	switch {
	case has(purpose, "prefetch", "prerender", "preview"):
		return adclick.AgentPrefetch
	case has(userAgent, "bot", "crawl", "spider", "slurp", "headless", "curl/", "wget/", "python-", "go-http-client"):
		return adclick.AgentRobot
	case userAgent == "":
		return adclick.AgentUnstated
	}
	return adclick.AgentBrowser
}
