package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prebid/openrtb/v20/adcom1"
	"github.com/prebid/openrtb/v20/native1/response"
	"github.com/prebid/openrtb/v20/openrtb2"
)

func post(handler http.Handler, body string) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/openrtb2/auction", strings.NewReader(body)))
	return answer
}

// The cases that all three servers are held against.
func TestCases(t *testing.T) {
	files, err := filepath.Glob(openrtb + "/tests/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	handler := start(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var all struct {
			Cases []struct {
				Name    string
				Request json.RawMessage
				Body    *string
				Expect  struct {
					Status, NBR    int
					Error, At, Cur string
					User           string
					Bids           []struct {
						ImpID, AdID, Price string
						ECPM               int64 `json:"ecpm_micros"`
						Price1             int64 `json:"price_micros"`
					}
				}
			}
		}
		if err := json.Unmarshal(text, &all); err != nil || len(all.Cases) == 0 {
			t.Fatalf("%s: %d cases, %v", file, len(all.Cases), err)
		}
		for _, one := range all.Cases {
			body := string(one.Request)
			if one.Body != nil {
				body = *one.Body
			}
			answer, expect := post(handler, body), one.Expect
			var found struct {
				Error, At, Cur string
				Ext            struct{ Adclick told }
				SeatBid        []struct {
					Bid []struct {
						ImpID, AdID string
						Price       json.Number
						Ext         struct{ Adclick decided }
					}
				}
			}
			if answer.Code != http.StatusNoContent {
				if err := json.Unmarshal(answer.Body.Bytes(), &found); err != nil {
					t.Errorf("%s: %v", one.Name, err)
					continue
				}
			}
			if answer.Code != expect.Status || found.Error != expect.Error || found.At != expect.At ||
				expect.Status == 204 && answer.Header().Get("x-adclick-nbr") != fmt.Sprint(expect.NBR) {
				t.Errorf("%s: %d %v %s, expected %+v", one.Name, answer.Code, answer.Header(), answer.Body, expect)
				continue
			}
			if expect.Status != http.StatusOK {
				continue
			}
			if expect.User != "" && found.Ext.Adclick.User != expect.User {
				t.Errorf("%s: a user %s, expected %s", one.Name, found.Ext.Adclick.User, expect.User)
			}
			if expect.Bids == nil {
				continue
			}
			bids := found.SeatBid[0].Bid
			same := found.Cur == expect.Cur && len(bids) == len(expect.Bids)
			for i := 0; same && i < len(bids); i++ {
				b, e := bids[i], expect.Bids[i]
				same = b.ImpID == e.ImpID && b.AdID == e.AdID && near(micros(t, string(b.Price)), micros(t, e.Price)) &&
					near(float64(b.Ext.Adclick.ECPMMicros), float64(e.ECPM)) && near(float64(b.Ext.Adclick.PriceMicros), float64(e.Price1))
			}
			if !same {
				t.Errorf("%s: %s, expected %+v", one.Name, answer.Body, expect)
			}
		}
	}
}

// Amounts of the cases hold up to the order in which a kernel sums.
func near(a, b float64) bool { return math.Abs(a-b) <= 1+max(a, b)/100_000 }

func micros(t *testing.T, price string) float64 {
	t.Helper()
	units, err := strconv.ParseFloat(price, 64)
	if err != nil {
		t.Errorf("price %s: %v", price, err)
	}
	return 1e6 * units
}

// What the field's own types write is understood, and they read what is answered, to the last member.
func TestFieldsOwnTypes(t *testing.T) {
	request := openrtb2.BidRequest{
		ID: "r1", AT: 2, TMax: 5000, Cur: []string{"EUR"}, BCat: []string{"IAB25"}, BAdv: []string{"nobody.example"},
		Site:   &openrtb2.Site{Domain: "news.example", Cat: []string{"IAB12"}},
		Device: &openrtb2.Device{DeviceType: adcom1.DevicePhone, OS: "android", Geo: &openrtb2.Geo{Country: "USA", UTCOffset: -300}},
		User:   &openrtb2.User{ID: "u1001"},
		Imp: []openrtb2.Imp{
			{ID: "b", BidFloor: 0.25, Banner: &openrtb2.Banner{Format: []openrtb2.Format{{W: 300, H: 250}, {W: 320, H: 50}}}},
			{ID: "v", Video: &openrtb2.Video{MIMEs: []string{"video/mp4"}, MaxDuration: 30}},
			{ID: "n", Native: &openrtb2.Native{Request: `{"native":{"assets":[{"id":1,"required":1,"title":{"len":90}},{"id":2,"img":{"type":3}}]}}`}},
		},
	}
	text, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	answer := post(start(t), string(text))
	if answer.Code != http.StatusOK {
		t.Fatalf("%d %v %s", answer.Code, answer.Header(), answer.Body)
	}
	var read openrtb2.BidResponse
	strict(t, answer.Body.Bytes(), &read)
	if read.ID != "r1" || read.Cur != "EUR" || len(read.SeatBid) != 1 || len(read.SeatBid[0].Bid) != 3 {
		t.Fatalf("%+v", read)
	}
	for i, kind := range []openrtb2.MarkupType{openrtb2.MarkupBanner, openrtb2.MarkupVideo, openrtb2.MarkupNative} {
		bid := read.SeatBid[0].Bid[i]
		if bid.ImpID != request.Imp[i].ID || bid.MType != kind || bid.Price <= 0 || bid.AdM == "" || len(bid.ADomain) != 1 ||
			strings.Contains(bid.AdM+bid.NURL+bid.BURL, "{{") {
			t.Errorf("%+v", bid)
		}
	}
	var markup struct{ Native response.Response }
	strict(t, []byte(read.SeatBid[0].Bid[2].AdM), &markup)
	if len(markup.Native.Assets) != 2 || markup.Native.Assets[0].Title.Text == "" || markup.Native.Link.URL == "" {
		t.Errorf("%+v", markup)
	}
}

func strict(t *testing.T, text []byte, into any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

const simple = `{"id":"r","test":1,"ext":{"adclick":{"time_us":1790000000000000}},"imp":[{"id":"1","banner":{"w":300,"h":250}}]}`

func TestNothingIsLeftOfTmax(t *testing.T) {
	handler := start(t)
	for tmax, nbr := range map[int]string{1: "15", 20: "15", 60_000: ""} {
		answer := post(handler, strings.Replace(simple, `"test"`, fmt.Sprintf(`"tmax":%d,"test"`, tmax), 1))
		if got := answer.Header().Get("x-adclick-nbr"); got != nbr {
			t.Errorf("tmax %d: %d %q", tmax, answer.Code, got)
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func packed(text string) string {
	var out bytes.Buffer
	writer := gzip.NewWriter(&out)
	_, _ = io.WriteString(writer, text)
	_ = writer.Close()
	return out.String()
}

// Ids are those of one delivery: no two share one, not even replays, whose decisions are the same.
func TestImpressionsAreJoinedByID(t *testing.T) {
	handler := start(t)
	native := `{"id":"r","imp":[{"id":"1","native":{"request":{"eventtrackers":[{"event":1,"methods":[1]}],"assets":[{"id":1,"title":{}}]}}}]`
	replay := native + `,"test":1,"ext":{"adclick":{"time_us":1790000000000000}}}`
	seen := map[string]bool{}
	var replayed *decided
	for i, body := range []string{native + "}", native + "}", replay, replay} {
		answer := post(handler, body)
		var read bidResponse
		strict(t, answer.Body.Bytes(), &read)
		bid := read.SeatBid[0].Bid[0]
		var markup response.Response
		strict(t, []byte(bid.AdM), &markup)
		if !strings.Contains(markup.Link.URL, bid.ID) || len(markup.EventTrackers) != 1 || !strings.Contains(markup.EventTrackers[0].URL, bid.ID) {
			t.Errorf("%+v is not joined by %s", markup, bid.ID)
		}
		if len(bid.ID) != 32 || seen[bid.ID] {
			t.Errorf("request %d has the id %s", i, bid.ID)
		}
		seen[bid.ID] = true
		if test := i > 1; (bid.Ext != nil) != test || (read.Ext != nil) != test {
			t.Fatalf("request %d tells of itself: %+v %+v", i, bid.Ext, read.Ext)
		}
		switch i {
		case 2:
			replayed = &bid.Ext.Adclick
		case 3:
			if !reflect.DeepEqual(*replayed, bid.Ext.Adclick) {
				t.Errorf("replayed %+v, then %+v", *replayed, bid.Ext.Adclick)
			}
		}
	}
}

// A listener closes what is more than it may have, and takes another once one has gone.
func TestConnectionsAreLimited(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := &limited{Listener: inner, most: 1}
	defer listener.Close()
	accepted := make(chan net.Conn)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- conn
		}
	}()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	defer dial().Close()
	one := <-accepted
	second := dial()
	defer second.Close()
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("a second connection lives")
	}
	one.Close()
	one.Close()
	defer dial().Close()
	(<-accepted).Close()
}

func TestHTTP(t *testing.T) {
	url, stop := startProgram(t, bundles)
	huge := strings.Repeat(" ", 10<<20)
	for _, one := range []struct {
		method, path, body, encoding string
		status                       int
		contains                     string
	}{
		{http.MethodPost, "/openrtb2/auction", simple, "", 200, `"cur":"USD"`},
		{http.MethodPost, "/openrtb2/auction", simple, "identity", 200, `"cur":"USD"`},
		{http.MethodPost, "/openrtb2/auction", simple, "gzip", 400, `"encoding"`},
		{http.MethodPost, "/openrtb2/auction", packed(simple), "gzip", 200, `"cur":"USD"`},
		{http.MethodPost, "/openrtb2/auction", packed(huge), "gzip", 400, `"too_large"`},
		{http.MethodPost, "/openrtb2/auction", simple, "br", 415, ""},
		{http.MethodHead, "/healthz", "", "", 200, ""},
		{http.MethodPost, "/openrtb2/auction", simple + huge, "", 400, `"too_large"`},
		{http.MethodPost, "/openrtb2/auction", huge + huge, "", 400, `"too_large"`},
		{http.MethodPost, "/openrtb2/auction", strings.Repeat("[", 100_000), "", 400, `"depth"`},
		{http.MethodPost, "/openrtb2/auction", `{"id":"1","imp":[` + strings.Repeat("{},", 50_000) + `{}]}`, "", 400, `"too_many"`},
		{http.MethodGet, "/openrtb2/auction", "", "", 405, ""},
		{http.MethodPost, "/healthz", "", "", 405, ""},
		{http.MethodGet, "/", "", "", 404, ""},
		{http.MethodPost, "/openrtb2/auction/", simple, "", 404, ""},
		{http.MethodGet, "/healthz", "", "", 200, `"status":"ok"`},
		{http.MethodGet, "/metrics", "", "", 200, `adserver_responses_total{result="bid"} 3`},
		{http.MethodGet, "/metrics", "", "", 200, "\nadclick_requests_total{"},
	} {
		request, err := http.NewRequest(one.method, url+one.path, strings.NewReader(one.body))
		if err != nil {
			t.Fatal(err)
		}
		if one.encoding != "" {
			request.Header.Set("Content-Encoding", one.encoding)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Errorf("%s %s: %v", one.method, one.path, err)
			continue
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != one.status || !strings.Contains(string(text), one.contains) || one.contains == "" && len(text) > 0 ||
			one.method != http.MethodHead && answer.ContentLength != int64(len(text)) || (one.status == 405) != (answer.Header.Get("Allow") != "") {
			t.Errorf("%s %s: %d %v %s, expected %d %s", one.method, one.path, answer.StatusCode, answer.Header, text, one.status, one.contains)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A bundle that is published becomes live while requests are answered, each by one generation.
func TestFollowsBundles(t *testing.T) {
	directory := t.TempDir()
	if err := os.CopyFS(directory, os.DirFS(bundles)); err != nil {
		t.Fatal(err)
	}
	url, stop := startProgram(t, directory)
	_, before := get(t, url+"/healthz")
	next := filepath.Join(directory, ".next")
	if err := os.WriteFile(next, []byte("b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(directory, "CURRENT")); err != nil {
		t.Fatal(err)
	}
	ecpm := map[string]string{} // by generation
	for end := time.Now().Add(30 * time.Second); len(ecpm) < 2; {
		if time.Now().After(end) {
			t.Fatal("the new bundle did not become live")
		}
		answer, err := http.Post(url+"/openrtb2/auction", "application/json", strings.NewReader(simple))
		if err != nil {
			t.Fatal(err)
		}
		var read bidResponse
		strict(t, must(io.ReadAll(answer.Body))(t), &read)
		answer.Body.Close()
		generation, price := read.Ext.Adclick.Generation, string(read.SeatBid[0].Bid[0].Price)
		if was, known := ecpm[generation]; known && was != price {
			t.Errorf("generation %s: price %s, then %s", generation, was, price)
		}
		ecpm[generation] = price
	}
	if _, after := get(t, url+"/healthz"); after == before {
		t.Errorf("healthz says %s before and after", after)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// A request under way is answered after the shutdown began, and says that its connection ends.
func TestShutdownFinishesWhatIsInFlight(t *testing.T) {
	url, stop := startProgram(t, bundles)
	body, writer := io.Pipe()
	answered := make(chan string, 1)
	go func() {
		answer, err := http.Post(url+"/openrtb2/auction", "application/json", body)
		if err != nil {
			answered <- err.Error()
			return
		}
		defer answer.Body.Close()
		answered <- fmt.Sprint(answer.StatusCode, answer.Close)
	}()
	// The handler reads the body once half of it went through.
	if _, err := io.WriteString(writer, simple[:20]); err != nil {
		t.Fatal(err)
	}
	get(t, url+"/healthz") // a round trip later the server has the request
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	for {
		if _, err := http.Get(url + "/healthz"); err != nil {
			break // it accepts no more
		}
	}
	if _, err := io.WriteString(writer, simple[20:]); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	if got := <-answered; got != "200true" && got != "200 true" {
		t.Errorf("answered %s", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestCannotStart(t *testing.T) {
	for name, s := range map[string]settings{
		"no bundle":    {listen: "127.0.0.1:0", bundles: t.TempDir(), campaigns: campaignsFile, threads: 1, connections: 1},
		"no campaigns": {listen: "127.0.0.1:0", bundles: bundles, campaigns: "missing.json", threads: 1, connections: 1},
		"no port":      {listen: "127.0.0.1:99999", bundles: bundles, campaigns: campaignsFile, threads: 1, connections: 1},
	} {
		if err := serve(t.Context(), s, func(string) { t.Errorf("%s: it listens", name) }); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Any body ends in one of the three answers.
func FuzzAuction(f *testing.F) {
	f.Add([]byte(simple))
	f.Add([]byte(`{"id":"1","imp":[{"id":"1","native":{"request":"{\"assets\":[{\"id\":1,\"title\":{}}]}"},"bidfloor":1e-7,"bidfloorcur":"JPY"}],"at":1}`))
	f.Add([]byte(`{"id":"1","app":{"cat":["a",1]},"imp":[{"id":"1","video":{"protocols":[3]}}],"cur":["XXX","EUR"],"bcat":[1,""]}`))
	handler := start(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		answer := post(handler, string(body))
		switch {
		case answer.Code == 200 || answer.Code == 400:
			if !json.Valid(answer.Body.Bytes()) {
				t.Errorf("no JSON: %s", answer.Body)
			}
		case answer.Code != 204 || answer.Header().Get("x-adclick-nbr") == "1":
			t.Errorf("%d %v", answer.Code, answer.Header())
		}
	})
}
