package main

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strings"
)

// What a bid request asks, as far as the mapping reads it. The standard's own types do not hold it exactly: their floors are
// binary floats, their device types and protocols have eight bits, and their categories are no numbers.
type asked struct {
	id             string
	test           bool
	at             int64
	tmaxMS         int64
	cur            []string
	blockedCat     []string
	blockedDomains []string // in lower case
	blockedApps    []string
	allowedCat     []string
	catTax         int64
	wseat, bseat   []string
	languages      []string // in lower case; none = any
	outOfHome      bool
	inventory      string // "" = none
	content        []string
	deviceType     int64
	connectionType int64
	os             string // in lower case
	country        string // in upper case
	user           string // "" = none
	limited        bool   // the user may not be known, whatever the signals say
	regs, person   object // with the signals of consent; nil = not there
	utcOffsetS     int32
	timeUS         int64 // when it was made; -1 = now
	imps           []imp
	leftOut        int // imps that cannot be read
}

type imp struct {
	id       string
	open     terms
	deals    []terms
	secure   bool
	private  bool
	position int64 // on the page, by the standard's list; 0 = not said
	banner   []size
	video    *video
	native   *native
	// Attributes that a creative must not have.
	bannerAttr, videoAttr, nativeAttr []int64
}

// Terms on which an imp is sold: the open auction's, or a deal's.
type terms struct {
	deal        string // its id; "" = the open auction
	floorMicros int64
	floorCur    string
	at          int64
	seats       []string
	domains     []string // in lower case
}

type size struct{ w, h int64 }

type video struct {
	mimes     []string
	protocols []int64
	least     int64
	most      int64 // 0 = no limit
	durations []int64
	linearity int64 // 0 = any
	placement int64
	plcmt     int64
	pod       string  // "" = none
	dedupe    []int64 // what two ads of a pod may not share
}

const (
	anyInt  = math.MaxInt32
	longest = 256 // bytes of an id
)

func readRequest(text []byte) (*asked, *refusal) {
	tree, refused := parse(text)
	if refused != nil {
		return nil, refused
	}
	r := &reader{path: make([]step, 0, 8)}
	root, ok := tree.(object)
	if !ok {
		r.refuse("type")
		return nil, r.refused
	}
	a := &asked{}
	a.id = r.required(root, "id", longest)
	a.test = r.int(root, "test", 0, 1, 0) == 1
	a.at = r.int(root, "at", -anyInt-1, anyInt, 2)
	a.tmaxMS = r.int(root, "tmax", 0, anyInt, 0)
	if a.cur = r.texts(root, "cur", 64); len(a.cur) == 0 {
		a.cur = []string{"USD"}
	}
	a.blockedCat = r.textsAmongNumbers(root, "bcat", 4096)
	a.blockedDomains = r.texts(root, "badv", 4096)
	for i, domain := range a.blockedDomains {
		a.blockedDomains[i] = lower(domain)
	}
	a.blockedApps = r.texts(root, "bapp", 4096)
	a.allowedCat = r.textsAmongNumbers(root, "acat", 4096)
	a.allowedCat = slices.DeleteFunc(a.allowedCat, func(cat string) bool { return cat == "" })
	a.catTax = r.int(root, "cattax", -anyInt-1, anyInt, 1)
	a.wseat, a.bseat = r.texts(root, "wseat", 4096), r.texts(root, "bseat", 4096)
	for _, list := range [][]string{r.texts(root, "wlang", 4096), r.texts(root, "wlangb", 4096)} {
		for _, tag := range list {
			if language, _, _ := strings.Cut(tag, "-"); tag != "" {
				a.languages = append(a.languages, lower(language))
			}
		}
	}
	a.readInventory(r, root)
	a.readUser(r, root)
	a.timeUS = -1
	if a.test {
		// A test may say when it is made: then its decision is the same at any time.
		r.object(root, "ext", func(ext object) {
			r.object(ext, "adclick", func(own object) { a.timeUS = r.int(own, "time_us", 0, 1<<53-1, -1) })
		})
	}
	a.readImps(r, root)
	return a, r.refused
}

func (a *asked) readInventory(r *reader, root object) {
	site := r.object(root, "site", func(site object) {
		id, domain := r.text(site, "id"), r.text(site, "domain")
		a.inventory = first(lower(domain), id)
		a.content = r.textsAmongNumbers(site, "cat", 256)
	})
	if site && root["app"] != nil {
		r.inside("app", func() { r.refuse("conflict") })
	}
	r.object(root, "app", func(app object) {
		id, bundle := r.text(app, "id"), r.text(app, "bundle")
		a.inventory = first(bundle, id)
		a.content = r.textsAmongNumbers(app, "cat", 256)
	})
	if (site || root["app"] != nil) && root["dooh"] != nil {
		r.inside("dooh", func() { r.refuse("conflict") })
	}
	a.outOfHome = r.object(root, "dooh", nil)
	a.content = a.content[:min(len(a.content), 8)]
}

func (a *asked) readUser(r *reader, root object) {
	var ifa, id, buyer string
	one := func(of object, name string) { a.limited = r.int(of, name, -anyInt-1, anyInt, 0) == 1 || a.limited }
	r.object(root, "device", func(device object) {
		a.deviceType = r.int(device, "devicetype", -anyInt-1, anyInt, 0)
		a.os = lower(r.text(device, "os"))
		a.connectionType = r.int(device, "connectiontype", -anyInt-1, anyInt, 0)
		ifa = r.text(device, "ifa")
		one(device, "lmt")
		one(device, "dnt")
		r.object(device, "geo", func(geo object) {
			a.country = upper(r.text(geo, "country"))
			a.utcOffsetS = int32(60 * r.int(geo, "utcoffset", -1440, 1440, 0))
		})
	})
	r.object(root, "user", func(user object) {
		a.person, id, buyer = user, r.text(user, "id"), r.text(user, "buyeruid")
	})
	r.object(root, "regs", func(regs object) {
		a.regs = regs
		one(regs, "coppa")
	})
	a.user = first(buyer, id, ifa)
}

func (a *asked) readImps(r *reader, root object) {
	_, ok := member(r, root, "imp", func(entries []any) {
		if len(entries) == 0 {
			r.refuse("empty")
		}
	})
	if !ok {
		r.missing("imp")
	}
	ids := map[string]bool{}
	var why *refusal
	r.list(root, "imp", 32, func(_ int, entry any) {
		// An imp that cannot be read is left out.
		own := &reader{path: slices.Clip(r.path)}
		one := readImp(own, entry, ids, a.at)
		if own.refused != nil {
			a.leftOut++
			why = cmp.Or(why, own.refused)
			return
		}
		ids[one.id] = true
		a.imps = append(a.imps, one)
	})
	if len(a.imps) == 0 && r.refused == nil {
		r.refused = why
	}
}

func readImp(r *reader, entry any, ids map[string]bool, at int64) (one imp) {
	of, ok := entry.(object)
	if !ok {
		r.refuse("type")
		return one
	}
	one.id = r.required(of, "id", longest)
	if ids[one.id] {
		r.inside("id", func() { r.refuse("duplicate") })
	}
	one.read(r, of, at)
	return one
}

func (t *terms) readFloor(r *reader, of object) {
	member(r, of, "bidfloor", func(number json.Number) {
		micros, ok := floorMicros(string(number))
		switch {
		case !ok:
			r.refused = &refusal{what: "json"}
		case strings.HasPrefix(string(number), "-") && micros > 0:
			r.refuse("range")
		}
		t.floorMicros = micros
	})
	if r.refused != nil {
		return
	}
	t.floorCur = "USD"
	if cur, ok := member[string](r, of, "bidfloorcur", nil); ok {
		t.floorCur = upper(cur)
	}
}

func readDeal(r *reader, entry any, at int64) (t terms) {
	of, ok := entry.(object)
	if !ok {
		r.refuse("type")
		return t
	}
	t.deal = r.required(of, "id", longest)
	t.readFloor(r, of)
	t.at = r.int(of, "at", -anyInt-1, anyInt, at)
	t.seats, t.domains = r.texts(of, "wseat", 4096), r.texts(of, "wadomain", 4096)
	for i, domain := range t.domains {
		t.domains[i] = lower(domain)
	}
	return t
}

func (one *imp) read(r *reader, of object, at int64) {
	one.open.readFloor(r, of)
	if one.open.at = at; at == 3 {
		one.open.at = 1 // a deal's price is a matter of deals
	}
	one.secure = r.int(of, "secure", 0, 1, 0) == 1
	r.object(of, "pmp", func(pmp object) {
		one.private = r.int(pmp, "private_auction", -anyInt-1, anyInt, 0) == 1
		r.list(pmp, "deals", 256, func(_ int, entry any) { one.deals = append(one.deals, readDeal(r, entry, at)) })
	})
	r.object(of, "banner", func(banner object) {
		one.banner = readSizes(r, banner)
		one.position = r.int(banner, "pos", -anyInt-1, anyInt, 0)
		one.bannerAttr = r.integers(banner, "battr", 64)
	})
	r.object(of, "video", func(of object) {
		one.video = readVideo(r, of)
		position := r.int(of, "pos", -anyInt-1, anyInt, 0)
		one.position = cmp.Or(one.position, position)
		one.video.pod, one.video.dedupe = r.text(of, "podid"), r.integers(of, "poddedupe", 64)
		one.videoAttr = r.integers(of, "battr", 64)
	})
	r.object(of, "audio", nil)
	r.object(of, "native", func(of object) {
		// A text as the standard says, or the object that the text would hold.
		request := of["request"]
		if _, ok := request.(object); !ok {
			request = r.required(of, "request", math.MaxInt)
		}
		one.nativeAttr = r.integers(of, "battr", 64)
		if r.refused == nil {
			one.native = readNative(request)
		}
	})
	if of["banner"] == nil && of["video"] == nil && of["audio"] == nil && of["native"] == nil {
		r.refuse("missing")
	}
}

func readVideo(r *reader, of object) *video {
	v := &video{mimes: r.texts(of, "mimes", 64)}
	v.least = r.int(of, "minduration", 0, anyInt, 0)
	v.most = r.int(of, "maxduration", 0, anyInt, 0)
	v.protocols = r.integers(of, "protocols", 64)
	v.linearity = r.int(of, "linearity", -anyInt-1, anyInt, 0)
	v.placement = r.int(of, "placement", -anyInt-1, anyInt, 0)
	v.plcmt = r.int(of, "plcmt", -anyInt-1, anyInt, 0)
	v.durations = r.integers(of, "rqddurs", 64)
	return v
}

// The sizes of a banner: those of its format, or its own.
func readSizes(r *reader, banner object) (sizes []size) {
	read := func(of object) size { return size{r.int(of, "w", 0, anyInt, 0), r.int(of, "h", 0, anyInt, 0)} }
	r.list(banner, "format", 64, func(_ int, entry any) {
		of, ok := entry.(object)
		if !ok {
			r.refuse("type")
			return
		}
		if s := read(of); s.w > 0 && s.h > 0 {
			sizes = append(sizes, s)
		}
	})
	if own := read(banner); len(sizes) == 0 && own.w > 0 && own.h > 0 {
		sizes = append(sizes, own)
	}
	return sizes
}

// The first text that is not empty.
func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// ASCII letters only: what the three servers do must not depend on a library's idea of the others.
func lower(text string) string { return mapASCII(text, 'A', 'Z', 'a'-'A') }
func upper(text string) string { return mapASCII(text, 'a', 'z', 'A'-'a') }

func mapASCII(text string, from, to byte, by int) string {
	changed := func(c byte) bool { return from <= c && c <= to }
	for i := range len(text) {
		if !changed(text[i]) {
			continue
		}
		bytes := []byte(text)
		for ; i < len(bytes); i++ {
			if changed(bytes[i]) {
				bytes[i] = byte(int(bytes[i]) + by)
			}
		}
		return string(bytes)
	}
	return text
}
