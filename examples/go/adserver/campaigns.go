package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"adclick.io/adclick"
)

// Campaigns are what the campaigns file says, with all that does not change from request to request computed once.
type campaigns struct {
	seat       string
	vendor     uint64 // in the Global Vendor List; 0 = none
	catTax     int64
	minCPM     int64
	rates      map[string]int64 // billionths of the own currency; the own one included
	ads        []*ad
	advertiser map[string]*advertiser
	byID       map[string]*ad
	events     string // where events are taken, for {{events}}
}

type advertiser struct {
	id, name, domain string
	key              uint64
	nameLength       int64
}

type ad struct {
	id, creative string
	key          uint64
	advertiser   *advertiser
	kindName     string
	kind         adclick.BidKind
	bidMicros    int64 // of the own currency
	cat          []string
	secure       bool
	language     string // "" = not said
	bundle       string // of the app that it is for
	attr         []int64
	creativeKey  uint64
	categoryKey  uint64   // of the first; 0 = none
	deals        []string // that it is sold by
	onlyDeals    bool
	banner       *size
	video        *videoAd
	native       *nativeAd
	format       uint64 // the hash of what the model knows as the format
	target       target
	landingURL   string // where a click is sent on to; "" = nowhere
	nurl, burl   string
	adm          string
	clickURL     string
	shownURL     string // of a native ad: asked for when it is seen
}

type videoAd struct {
	size
	mime              string
	protocol, seconds int64
	linearity         int64
	placement, plcmt  []int64 // nil = any
}

type nativeAd struct {
	title, description string
	titleLength        int64 // in code points, as all lengths
	descriptionLength  int64
	image, icon        picture
}

type picture struct {
	url, mime string
	size
}

// Lists that are nil are not there.
type target struct {
	country, os      []string
	deviceType       []int64
	include, exclude []string
}

var (
	amountText   = regexp.MustCompile(`^[0-9]{1,6}(\.[0-9]{1,6})?$`)
	rateText     = regexp.MustCompile(`^[0-9]{1,6}(\.[0-9]{1,9})?$`)
	currencyText = regexp.MustCompile(`^[A-Z]{3}$`)
	languageText = regexp.MustCompile(`^[a-z]{2}$`)
	landingText  = regexp.MustCompile(`^https?://[!#-~]*$`)
	idText       = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	kinds        = map[string]adclick.BidKind{"cpm": adclick.CPM, "cpc": adclick.CPC, "cpa": adclick.CPA, "ocpm": adclick.OCPM}
)

const (
	mostAds = 10_000
	mostBid = 100_000_000_000
	// Bounds sizes, seconds and the standard's numbers.
	mostNumber = 100_000
)

// events is what {{events}} becomes.
func loadCampaigns(path, events string) (*campaigns, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c, refused := readCampaigns(text)
	if refused != nil {
		return nil, fmt.Errorf("%s: %w", path, refused)
	}
	c.events = events
	return c, nil
}

// A reader of the campaigns file, where every member is required unless asked for as optional, and none is unknown.
type fileReader struct{ reader }

// Refuses members that are not listed.
func (r *fileReader) only(of object, names ...string) {
	var unknown []string
	for name := range of {
		if !slices.Contains(names, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 && r.refused == nil {
		slices.Sort(unknown)
		r.inside(unknown[0], func() { r.refuse("unknown member") })
	}
}

func (r *fileReader) must(of object, name string) {
	if r.refused == nil && of[name] == nil {
		r.missing(name)
	}
}

func (r *fileReader) someText(of object, name string) string {
	return r.required(of, name, 1<<20)
}

// A required text of a form.
func (r *fileReader) formed(of object, name string, form *regexp.Regexp) string {
	text := r.someText(of, name)
	if r.refused == nil && !form.MatchString(text) {
		r.inside(name, func() { r.refuse("expected " + form.String()) })
	}
	return text
}

// A required amount of money or rate above 0, in units of 10^-digits.
func (r *fileReader) decimal(of object, name string, form *regexp.Regexp, digits int) int64 {
	text := r.formed(of, name, form)
	whole, fraction, _ := strings.Cut(text, ".")
	value, _ := strconv.ParseInt(whole+(fraction + strings.Repeat("0", digits))[:digits], 10, 64)
	if r.refused == nil && value == 0 {
		r.inside(name, func() { r.refuse("expected more than 0") })
	}
	return value
}

// A required object of these members.
func (r *fileReader) mustObject(of object, name string, names []string, read func(object)) {
	r.must(of, name)
	r.object(of, name, func(found object) {
		r.only(found, names...)
		read(found)
	})
}

// The entries of a required list, all of them objects.
func (r *fileReader) objects(of object, name string, most int, each func(object)) {
	r.must(of, name)
	r.list(of, name, most, func(_ int, entry any) {
		if found, ok := entry.(object); ok {
			each(found)
		} else {
			r.refuse("type")
		}
	})
}

// Integers from 1; nil when the list is not there.
func (r *fileReader) numbers(of object, name string) []int64 {
	numbers := []int64{}
	if !r.list(of, name, mostAds, func(_ int, entry any) {
		number, ok := entry.(json.Number)
		if !ok {
			r.refuse("type")
			return
		}
		numbers = append(numbers, r.integer(number, 1, mostNumber))
	}) {
		return nil
	}
	return numbers
}

// A text that may be left out, but not empty.
func (r *fileReader) textIfAny(of object, name string) string {
	if of[name] == nil {
		return ""
	}
	return r.someText(of, name)
}

func (r *fileReader) size(of object) size {
	r.must(of, "w")
	r.must(of, "h")
	return size{r.int(of, "w", 1, mostNumber, 0), r.int(of, "h", 1, mostNumber, 0)}
}

func readCampaigns(text []byte) (*campaigns, *refusal) {
	tree, refused := parse(text)
	if refused != nil {
		return nil, refused
	}
	r := &fileReader{}
	root, ok := tree.(object)
	if !ok {
		return nil, &refusal{"type", ""}
	}
	r.only(root, "currency", "min_cpm", "rates", "seat", "gdpr_vendor", "cattax", "advertisers", "ads")
	own := r.formed(root, "currency", currencyText)
	c := &campaigns{rates: map[string]int64{}, advertiser: map[string]*advertiser{}, byID: map[string]*ad{}}
	c.minCPM = r.decimal(root, "min_cpm", amountText, 6)
	r.must(root, "rates")
	r.object(root, "rates", func(rates object) {
		for name := range rates {
			c.rates[name] = r.decimal(rates, name, rateText, 9)
			if !currencyText.MatchString(name) || name == own {
				r.inside(name, func() { r.refuse("expected another currency, of three letters A to Z") })
			}
		}
	})
	c.rates[own] = rateOfOwn
	c.seat = r.someText(root, "seat")
	c.vendor = uint64(r.int(root, "gdpr_vendor", 1, 65_535, 0))
	c.catTax = r.int(root, "cattax", 1, mostNumber, 1)
	r.objects(root, "advertisers", mostAds, func(of object) {
		r.only(of, "id", "name", "domain")
		a := &advertiser{id: r.someText(of, "id"), name: r.someText(of, "name"), domain: r.someText(of, "domain")}
		a.key, a.nameLength = adclick.Hash(a.id), codePoints(a.name)
		if a.domain != lower(a.domain) {
			r.inside("domain", func() { r.refuse("expected lower case") })
		}
		if c.advertiser[a.id] != nil {
			r.inside("id", func() { r.refuse("duplicate") })
		}
		c.advertiser[a.id] = a
	})
	r.objects(root, "ads", mostAds, func(of object) {
		a := r.readAd(of, c)
		if c.byID[a.id] != nil {
			r.inside("id", func() { r.refuse("duplicate") })
		}
		c.byID[a.id] = a
		c.ads = append(c.ads, a)
	})
	if len(c.ads) == 0 {
		r.inside("ads", func() { r.refuse("empty") })
	}
	return c, r.refused
}

func (r *fileReader) readAd(of object, c *campaigns) *ad {
	r.only(of, "id", "advertiser", "creative", "bid", "cat", "secure", "banner", "video", "native", "target", "nurl", "burl",
		"adm", "click_url", "impression_url", "landing_url", "language", "bundle", "attr", "deals", "only_deals")
	a := &ad{id: r.formed(of, "id", idText)}
	a.key = adclick.Hash(a.id)
	name := r.someText(of, "advertiser")
	if a.advertiser = c.advertiser[name]; a.advertiser == nil {
		r.inside("advertiser", func() { r.refuse("no such advertiser") })
	}
	a.creative = r.someText(of, "creative")
	r.readBid(of, a, c)
	r.must(of, "cat")
	a.cat = r.someTexts(of, "cat", nil)
	a.creativeKey = adclick.Hash(a.creative)
	if len(a.cat) > 0 {
		a.categoryKey = adclick.Hash(a.cat[0])
	}
	r.must(of, "secure")
	a.secure, _ = member[bool](&r.reader, of, "secure", nil)
	if of["language"] != nil {
		a.language = r.formed(of, "language", languageText)
	}
	a.bundle, a.attr = r.textIfAny(of, "bundle"), r.numbers(of, "attr")
	a.deals = r.someTexts(of, "deals", nil)
	a.onlyDeals, _ = member[bool](&r.reader, of, "only_deals", nil)
	r.readCreative(of, a)
	r.readTarget(of, a)
	if of["landing_url"] != nil {
		a.landingURL = r.formed(of, "landing_url", landingText)
	}
	a.nurl, a.burl = r.text(of, "nurl"), r.text(of, "burl")
	return a
}

func (r *fileReader) readBid(of object, a *ad, c *campaigns) {
	r.mustObject(of, "bid", []string{"kind", "amount", "currency"}, func(bid object) {
		a.kindName = r.someText(bid, "kind")
		kind, known := kinds[a.kindName]
		if !known {
			r.inside("kind", func() { r.refuse("expected cpm, cpc, cpa or ocpm") })
		}
		a.kind = kind
		amount, currency := r.decimal(bid, "amount", amountText, 6), r.formed(bid, "currency", currencyText)
		rate, known := c.rates[currency]
		if !known {
			r.inside("currency", func() { r.refuse("no rate is given for it") })
			return
		}
		if a.bidMicros, _ = mulDiv(amount, rate, rateOfOwn); a.bidMicros == 0 || a.bidMicros > mostBid {
			r.inside("amount", func() { r.refuse("expected 0.000001 to 100,000 of the own currency") })
		}
	})
}

// A list of texts that are not empty and, with a form, written in it; nil when it is not there.
func (r *fileReader) someTexts(of object, name string, form func(string) string) []string {
	texts := []string{}
	if !r.list(of, name, mostAds, func(_ int, entry any) {
		text, ok := entry.(string)
		switch {
		case !ok:
			r.refuse("type")
		case text == "":
			r.refuse("empty")
		case form != nil && form(text) != text:
			r.refuse("expected " + form(text))
		}
		texts = append(texts, text)
	}) {
		return nil
	}
	return texts
}

// What is shown: one of banner, video and native.
func (r *fileReader) readCreative(of object, a *ad) {
	shapes := 0
	for _, name := range []string{"banner", "video", "native"} {
		if of[name] != nil {
			shapes++
		}
	}
	if shapes != 1 {
		r.refuse("expected one of banner, video and native")
	}
	if r.refused != nil {
		return
	}
	unwanted, wanted := []string{"click_url", "impression_url"}, "adm"
	switch {
	case of["banner"] != nil:
		a.banner = &size{}
		r.mustObject(of, "banner", []string{"w", "h"}, func(banner object) { *a.banner = r.size(banner) })
		a.format = adclick.Hash(fmt.Sprintf("%dx%d", a.banner.w, a.banner.h))
	case of["video"] != nil:
		r.mustObject(of, "video", []string{"w", "h", "mime", "protocol", "seconds", "linearity", "placement", "plcmt"}, func(video object) {
			a.video = &videoAd{size: r.size(video), mime: r.someText(video, "mime")}
			r.must(video, "protocol")
			r.must(video, "seconds")
			a.video.protocol = r.int(video, "protocol", 1, mostNumber, 0)
			a.video.seconds = r.int(video, "seconds", 1, mostNumber, 0)
			a.video.linearity = r.int(video, "linearity", 1, 2, 1)
			a.video.placement, a.video.plcmt = r.numbers(video, "placement"), r.numbers(video, "plcmt")
		})
		a.format = adclick.Hash("video")
	default:
		unwanted, wanted = []string{"adm"}, "click_url"
		r.mustObject(of, "native", []string{"title", "description", "image", "icon"}, func(native object) {
			a.native = &nativeAd{title: r.someText(native, "title"), description: r.someText(native, "description")}
			a.native.titleLength, a.native.descriptionLength = codePoints(a.native.title), codePoints(a.native.description)
			a.native.image, a.native.icon = r.picture(native, "image"), r.picture(native, "icon")
		})
		a.format = adclick.Hash("native")
	}
	a.adm, a.clickURL, a.shownURL = r.text(of, "adm"), r.text(of, "click_url"), r.textIfAny(of, "impression_url")
	r.must(of, wanted)
	for _, name := range unwanted {
		if of[name] != nil {
			r.inside(name, func() { r.refuse("an ad of this format has none") })
		}
	}
}

func (r *fileReader) picture(of object, name string) (p picture) {
	r.mustObject(of, name, []string{"url", "w", "h", "mime"}, func(found object) {
		p = picture{r.someText(found, "url"), r.textIfAny(found, "mime"), r.size(found)}
	})
	return p
}

func codePoints(text string) int64 { return int64(utf8.RuneCountInString(text)) }

func (r *fileReader) readTarget(of object, a *ad) {
	r.object(of, "target", func(found object) {
		r.only(found, "country", "device_type", "os", "include", "exclude")
		a.target.country, a.target.os = r.someTexts(found, "country", upper), r.someTexts(found, "os", lower)
		a.target.include, a.target.exclude = r.someTexts(found, "include", nil), r.someTexts(found, "exclude", nil)
		a.target.deviceType = r.numbers(found, "device_type")
	})
}
