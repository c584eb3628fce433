package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"adclick.io/adclick"

	"github.com/prebid/openrtb/v20/openrtb2"
	"github.com/prebid/openrtb/v20/openrtb3"
)

// Reasons for no bid beyond the standard's.
const (
	noAd         openrtb3.NoBidReason = 500
	underFloor   openrtb3.NoBidReason = 501
	unknownMoney openrtb3.NoBidReason = 502
	otherSeat    openrtb3.NoBidReason = 503
	otherTax     openrtb3.NoBidReason = 504
	outOfHome    openrtb3.NoBidReason = 505
)

// A bidder turns requests into bids: it has the campaigns, the engine and what is asked of it once.
type bidder struct {
	campaigns *campaigns
	engine    *adclick.Engine
	pool      *adclick.Pool
	features  features
	margin    time.Duration
	work      sync.Pool
	// No two processes and no two requests have the same number of a delivery.
	process    uint64
	deliveries atomic.Uint64
}

// The handles of the model's inputs.
type features struct {
	deviceType, connection, os, country, inventory, content, floor, format uint32
}

// What one request needs in memory, used again by later ones.
type work struct {
	context    []adclick.Value
	candidates []adclick.Candidate
	formats    []adclick.Value
	ads        []*ad // of the candidates
	won        []*ad
	pods       []podWinner
	device     uint32
	userKey    uint64
	flags      uint32
	delivery   uint64 // 0 for a replay
	winner     [1]adclick.Winner
}

// A winner of a pod.
type podWinner struct {
	pod string
	ad  *ad
}

func newBidder(c *campaigns, engine *adclick.Engine, threads int, margin time.Duration) (*bidder, error) {
	b := &bidder{campaigns: c, engine: engine, margin: margin, process: rand.Uint64()}
	b.work.New = func() any { return new(work) }
	for name, handle := range map[string]*uint32{
		"device_type": &b.features.deviceType, "connection": &b.features.connection, "os": &b.features.os,
		"country": &b.features.country, "inventory": &b.features.inventory, "content": &b.features.content,
		"floor": &b.features.floor, "format": &b.features.format,
	} {
		var err error
		if *handle, err = engine.Feature(name); err != nil {
			return nil, err
		}
	}
	var err error
	b.pool, err = engine.NewPool(threads, len(c.ads))
	return b, err
}

// A currency and what it is worth.
type currency struct {
	code string
	rate int64
}

// bid answers a request: a response, or why there is none. began is when the request came.
func (b *bidder) bid(ctx context.Context, a *asked, began time.Time) (*bidResponse, openrtb3.NoBidReason) {
	if why := b.notOurs(a); why != 0 {
		return nil, why
	}
	cur, ok := b.currency(a)
	if !ok {
		return nil, unknownMoney
	}
	w := b.work.Get().(*work)
	defer b.work.Put(w)
	w.won, w.pods, w.device = w.won[:0], w.pods[:0], uint32(max(0, a.deviceType))
	answer := &bidResponse{ID: a.id, BidID: hex(adclick.Hash(a.id)), Cur: cur.code}
	answer.SeatBid[0].Seat = b.campaigns.seat
	sums := &told{LeftOut: a.leftOut, User: b.describe(a, w)}
	if a.test {
		answer.Ext = &extOf[*told]{sums}
	}
	var why openrtb3.NoBidReason
	for i := range a.imps {
		one, reason := b.bidOn(ctx, a, &a.imps[i], cur, began, w, sums)
		if one != nil {
			answer.SeatBid[0].Bid = append(answer.SeatBid[0].Bid, one)
		} else if i == 0 {
			why = reason
		}
	}
	if len(answer.SeatBid[0].Bid) == 0 {
		return nil, why
	}
	return answer, 0
}

// Why nothing that we have may be bid on the request; 0 when something may.
func (b *bidder) notOurs(a *asked) openrtb3.NoBidReason {
	seat, some := b.campaigns.seat, func(text string) bool { return text != "" }
	switch {
	case a.outOfHome:
		return outOfHome
	case len(a.wseat) > 0 && !slices.Contains(a.wseat, seat), slices.Contains(a.bseat, seat):
		return otherSeat
	case a.catTax != b.campaigns.catTax && (len(a.allowedCat) > 0 || slices.ContainsFunc(a.blockedCat, some)):
		return otherTax
	}
	return 0
}

func (b *bidder) currency(a *asked) (currency, bool) {
	for _, code := range a.cur {
		code = upper(code)
		if rate, known := b.campaigns.rates[code]; known {
			return currency{code, rate}, true
		}
	}
	return currency{}, false
}

// What is known of the request, the same for each imp but for the floor, which comes last. Says of the user what a test is told.
func (b *bidder) describe(a *asked, w *work) (user string) {
	w.context = w.context[:0]
	category := func(feature uint32, text string) {
		if text != "" {
			w.context = append(w.context, adclick.Value{Feature: feature, ID: adclick.Hash(text)})
		}
	}
	number := func(feature uint32, id int64) {
		if id >= 1 {
			w.context = append(w.context, adclick.Value{Feature: feature, ID: uint64(id)})
		}
	}
	number(b.features.deviceType, a.deviceType)
	number(b.features.connection, a.connectionType)
	category(b.features.os, a.os)
	category(b.features.country, a.country)
	category(b.features.inventory, a.inventory)
	for _, cat := range a.content {
		// An empty text is a category too.
		w.context = append(w.context, adclick.Value{Feature: b.features.content, ID: adclick.Hash(cat)})
	}
	w.context = append(w.context, adclick.Value{Feature: b.features.floor})
	w.userKey, w.flags, w.delivery = 0, 0, 0
	if a.timeUS < 0 {
		a.timeUS = time.Now().UnixMicro()
		w.delivery = adclick.Key(b.process, b.deliveries.Add(1))
	}
	switch {
	case a.limited || !permits(a.regs, a.person, b.campaigns.vendor):
		w.flags = adclick.KeepNoUser
		return "refused"
	case a.user == "":
		return "none"
	}
	w.userKey = adclick.Hash(a.user)
	return "known"
}

// The deals in the request's order, then the open auction: the first that leads to a bid.
func (b *bidder) bidOn(ctx context.Context, a *asked, imp *imp, cur currency, began time.Time, w *work,
	told *told) (one *bid, why openrtb3.NoBidReason) {
	why = noAd
	for i := range imp.deals {
		deal := &imp.deals[i]
		if len(deal.seats) > 0 && !slices.Contains(deal.seats, b.campaigns.seat) {
			continue
		}
		if one, why = b.sell(ctx, a, imp, deal, cur, began, w, told); one != nil {
			return one, why
		}
	}
	if imp.private {
		return nil, why
	}
	return b.sell(ctx, a, imp, &imp.open, cur, began, w, told)
}

func (b *bidder) sell(ctx context.Context, a *asked, imp *imp, on *terms, cur currency, began time.Time, w *work,
	told *told) (*bid, openrtb3.NoBidReason) {
	least := least{on.floorMicros, rateOfOwn, b.campaigns.minCPM}
	if least.floor > 0 { // a floor of 0 is none, whatever its currency
		if least.rate = b.campaigns.rates[on.floorCur]; least.rate == 0 {
			return nil, unknownMoney
		}
	}
	floor := least.inOwn()
	b.gather(a, imp, on, w)
	if len(w.candidates) == 0 {
		return nil, noAd
	}
	w.context[len(w.context)-1].Number = float32(float64(floor) / 1e6)
	in := adclick.Input{
		Request: adclick.Request{
			RequestID:      requestID(a, imp, on, w),
			Flags:          w.flags,
			UserKey:        w.userKey,
			TimeUS:         a.timeUS,
			UTCOffsetS:     a.utcOffsetS,
			Slots:          1,
			FloorCPMMicros: floor,
			Placement:      uint32(max(0, imp.position)),
			Device:         w.device,
		},
		Values: w.context, Candidates: w.candidates, CandidateValues: w.formats,
	}
	scorer, err := b.pool.Get(ctx)
	if err != nil {
		return nil, technical(err)
	}
	defer b.pool.Put(scorer)
	if a.tmaxMS > 0 {
		// What waiting for a scorer took is gone.
		left := time.Duration(a.tmaxMS)*time.Millisecond - b.margin - time.Since(began)
		if left.Microseconds() <= 0 {
			return nil, openrtb3.NoBidInsufficientTime
		}
		in.Request.DeadlineUS = uint32(min(left.Microseconds(), math.MaxUint32))
	}
	outcome, err := scorer.Decide(&in, w.winner[:], nil)
	if err != nil {
		return nil, technical(err)
	}
	told.add(&outcome)
	winner := &w.winner[0]
	if outcome.Winners == 0 || winner.ECPMMicros < floor {
		return nil, underFloor
	}
	ad := w.ads[winner.Candidate]
	price, ok := least.price(winner.ECPMMicros, neededFor(on, ad, winner), cur.rate)
	if !ok {
		return nil, underFloor
	}
	w.won = append(w.won, ad)
	if imp.video != nil && imp.video.pod != "" {
		w.pods = append(w.pods, podWinner{imp.video.pod, ad})
	}
	one, err := b.newBid(ad, imp, winner, price, a.test, w.flags != 0)
	if err != nil {
		return nil, technical(err)
	}
	one.DealID = on.deal
	return one, 0
}

// The engine's id of an imp of a delivery on some terms; a replay has the same again.
func requestID(a *asked, imp *imp, on *terms, w *work) uint64 {
	ids := append(make([]uint64, 0, 4), adclick.Hash(a.id), adclick.Hash(imp.id))
	if on.deal != "" {
		ids = append(ids, adclick.Hash(on.deal))
	}
	if w.delivery != 0 {
		ids = append(ids, w.delivery)
	}
	return adclick.Key(ids...)
}

func technical(err error) openrtb3.NoBidReason {
	log.Printf("no bid: %v", err)
	return openrtb3.NoBidTechnicalError
}

// The candidates of an imp, in the file's order.
func (b *bidder) gather(a *asked, imp *imp, on *terms, w *work) {
	w.candidates, w.formats, w.ads = w.candidates[:0], w.formats[:0], w.ads[:0]
	for _, ad := range b.campaigns.ads {
		if !ad.soldOn(on) || !ad.passes(a, imp) || slices.Contains(w.won, ad) || w.repeats(ad, imp) {
			continue
		}
		candidate := adclick.Candidate{
			AdKey: ad.key, AdvertiserKey: ad.advertiser.key, BidMicros: ad.bidMicros, BidKind: ad.kind,
			FirstValue: uint32(len(w.formats)), NumValues: 1, CreativeKey: ad.creativeKey, CategoryKey: ad.categoryKey,
		}
		w.candidates = append(w.candidates, candidate)
		w.formats = append(w.formats, adclick.Value{Feature: b.features.format, ID: ad.format})
		w.ads = append(w.ads, ad)
	}
}

// Whether a winner of the imp's pod has of the ad what two of a pod may not share.
func (w *work) repeats(ad *ad, imp *imp) bool {
	return ad.video != nil && imp.video.pod != "" && slices.ContainsFunc(w.pods, func(earlier podWinner) bool {
		return earlier.pod == imp.video.pod && ad.repeats(earlier.ad, imp.video.dedupe)
	})
}

// What 1000 impressions need as a price, in the own currency. In a second-price auction it is what they are worth; where the bid
// is paid, no more than is needed against what is known: the next candidate. The floor comes on top.
func neededFor(on *terms, ad *ad, winner *adclick.Winner) int64 {
	switch on.at {
	case 2:
		return winner.ECPMMicros
	case 3:
		return 0 // what the deal says is the price
	}
	if winner.PriceBound == adclick.BoundReserve {
		return 0 // the floor alone decided: it is the price, not rounded to what a click costs
	}
	needed := winner.PriceMicros
	switch ad.kind {
	case adclick.CPC:
		needed = perThousand(needed, winner.PCTR)
	case adclick.CPA:
		needed = perThousand(needed, winner.PCTR, winner.PCVR)
	}
	return needed
}

// The members of a bid response in the mapping's order. The price is a text of digits: the float64 of openrtb2.Bid does not
// hold all of them.
type bidResponse struct {
	ID      string        `json:"id"`
	SeatBid [1]seatBid    `json:"seatbid"`
	BidID   string        `json:"bidid"`
	Cur     string        `json:"cur"`
	Ext     *extOf[*told] `json:"ext,omitempty"` // of tests
}

type extOf[T any] struct {
	Adclick T `json:"adclick"`
}

type seatBid struct {
	Bid  []*bid `json:"bid"`
	Seat string `json:"seat"`
}

// What all calls of the request come to, for tests.
type told struct {
	Generation string `json:"generation"`
	Scored     uint64 `json:"scored"`
	Cut        uint64 `json:"cut"`
	Missing    uint64 `json:"missing"`
	LeftOut    int    `json:"left_out"`
	User       string `json:"user"`
}

func (t *told) add(outcome *adclick.Outcome) {
	t.Generation = hex(outcome.Generation)
	t.Scored += uint64(outcome.Scored)
	t.Cut += uint64(outcome.Cut)
	t.Missing += uint64(outcome.Missing)
}

type bid struct {
	ID      string              `json:"id"`
	ImpID   string              `json:"impid"`
	Price   json.Number         `json:"price"`
	NURL    string              `json:"nurl,omitempty"`
	BURL    string              `json:"burl,omitempty"`
	AdM     string              `json:"adm"`
	AdID    string              `json:"adid"`
	ADomain [1]string           `json:"adomain"`
	CrID    string              `json:"crid"`
	Bundle  string              `json:"bundle,omitempty"`
	Cat     []string            `json:"cat,omitempty"`
	CatTax  int64               `json:"cattax,omitempty"`
	Attr    []int64             `json:"attr,omitempty"`
	Lang    string              `json:"language,omitempty"`
	DealID  string              `json:"dealid,omitempty"`
	MType   openrtb2.MarkupType `json:"mtype"`
	W       int64               `json:"w,omitempty"`
	H       int64               `json:"h,omitempty"`
	Ext     *extOf[decided]     `json:"ext,omitempty"` // of tests
}

type decided struct {
	Kind        string   `json:"kind"`
	ECPMMicros  int64    `json:"ecpm_micros"`
	PriceMicros int64    `json:"price_micros"`
	PCTR        float32  `json:"pctr"`
	PCVR        *float32 `json:"pcvr,omitempty"`
}

func (b *bidder) newBid(a *ad, imp *imp, winner *adclick.Winner, price int64, test, nobody bool) (*bid, error) {
	impression := hex(winner.ImpressionIDHigh) + hex(winner.ImpressionID)
	told := impression
	if nobody {
		told += "n" // nothing of the user may be kept with its events
	}
	macros := strings.NewReplacer("{{impression}}", told, "{{ad}}", a.id, "{{events}}", b.campaigns.events)
	one := &bid{
		ID: impression, ImpID: imp.id, Price: json.Number(units(price)), NURL: macros.Replace(a.nurl),
		BURL: macros.Replace(a.burl), AdID: a.id, ADomain: [1]string{a.advertiser.domain}, CrID: a.creative, Cat: a.cat,
		Bundle: a.bundle, Attr: a.attr, Lang: a.language,
	}
	if len(a.cat) > 0 && b.campaigns.catTax != 1 {
		one.CatTax = b.campaigns.catTax
	}
	if test {
		one.Ext = &extOf[decided]{decided{a.kindName, winner.ECPMMicros, winner.PriceMicros, winner.PCTR, nil}}
		if pcvr := winner.PCVR; pcvr == pcvr { // not NaN
			one.Ext.Adclick.PCVR = &pcvr
		}
	}
	switch {
	case a.banner != nil:
		one.MType, one.W, one.H, one.AdM = openrtb2.MarkupBanner, a.banner.w, a.banner.h, macros.Replace(a.adm)
	case a.video != nil:
		one.MType, one.W, one.H, one.AdM = openrtb2.MarkupVideo, a.video.w, a.video.h, macros.Replace(a.adm)
	default:
		markup, err := imp.native.markup(a, macros)
		if err != nil {
			return nil, err
		}
		one.MType, one.AdM = openrtb2.MarkupNative, markup
	}
	return one, nil
}

// Sixteen lower-case digits.
func hex(id uint64) string {
	return fmt.Sprintf("%016x", id)
}
