package main

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/prebid/openrtb/v20/native1"
	"github.com/prebid/openrtb/v20/native1/response"
)

// A native request: the assets that an ad is to fill.
type native struct {
	wrapped bool // in an object `native`, and so is the answer
	assets  []asset
	tracked tracking
}

// How an impression is to be told.
type tracking int

const (
	byImpTracker tracking = iota
	byEvent
	notTracked
)

type asset struct {
	id       int64
	required bool
	fill     filling
	longest  int64 // of a title or a datum; 0 = no limit
	exact    size  // of a picture; 0 = any
	least    size
	mimes    []string // none = any
}

// What of an ad fills an asset.
type filling int

const (
	nothing filling = iota
	title
	icon
	image
	sponsor
	description
)

// Nil when it is not as it should be: then no native ad passes.
func readNative(asked any) *native {
	var refused *refusal
	if text, ok := asked.(string); ok {
		asked, refused = parse([]byte(text))
	}
	root, ok := asked.(object)
	if refused != nil || !ok {
		return nil
	}
	r, n := &reader{}, &native{}
	if inner, ok := root["native"].(object); ok {
		root, n.wrapped = inner, true
	}
	r.list(root, "assets", 32, func(_ int, entry any) {
		of, ok := entry.(object)
		if !ok || of["id"] == nil {
			r.refuse("type")
			return
		}
		one := asset{id: r.int(of, "id", -anyInt-1, anyInt, 0), required: r.int(of, "required", -anyInt-1, anyInt, 0) == 1}
		one.read(r, of)
		n.assets = append(n.assets, one)
	})
	n.readTrackers(r, root)
	if r.refused != nil || len(n.assets) == 0 {
		return nil
	}
	return n
}

// An image is how we can tell of an impression.
func (n *native) readTrackers(r *reader, root object) {
	if root["eventtrackers"] == nil {
		return
	}
	n.tracked = notTracked
	r.list(root, "eventtrackers", 32, func(_ int, entry any) {
		of, ok := entry.(object)
		if !ok {
			r.refuse("type")
			return
		}
		event := native1.EventType(r.int(of, "event", -anyInt-1, anyInt, 0))
		if methods := r.integers(of, "methods", 64); event == native1.EventTypeImpression &&
			slices.Contains(methods, int64(native1.EventTrackingMethodImage)) {
			n.tracked = byEvent
		}
	})
}

// The first of title, img, data and video that is there counts; all are objects.
func (a *asset) read(r *reader, of object) {
	number := func(of object, name string, otherwise int64) int64 {
		return r.int(of, name, -anyInt-1, anyInt, otherwise)
	}
	known := false
	once := func(name string, read func(object)) {
		counts := !known
		known = r.object(of, name, func(of object) {
			if counts {
				read(of)
			}
		}) || known
	}
	once("title", func(of object) { a.fill, a.longest = title, number(of, "len", 0) })
	once("img", func(of object) {
		least := func(name string) int64 { return max(number(of, name, 0), 0) }
		a.exact, a.least = size{least("w"), least("h")}, size{least("wmin"), least("hmin")}
		a.mimes = r.texts(of, "mimes", 64)
		switch native1.ImageAssetType(number(of, "type", int64(native1.ImageAssetTypeMain))) {
		case native1.ImageAssetTypeIcon:
			a.fill = icon
		case native1.ImageAssetTypeMain:
			a.fill = image
		}
	})
	once("data", func(of object) {
		a.longest = number(of, "len", 0)
		switch native1.DataAssetType(number(of, "type", 0)) {
		case native1.DataAssetTypeSponsored:
			a.fill = sponsor
		case native1.DataAssetTypeDesc:
			a.fill = description
		}
	})
	once("video", func(object) {})
}

func (a *asset) filledBy(ad *ad) bool {
	takes := func(length int64) bool { return a.longest <= 0 || a.longest >= length }
	switch a.fill {
	case title:
		return takes(ad.native.titleLength)
	case icon:
		return a.takes(&ad.native.icon)
	case image:
		return a.takes(&ad.native.image)
	case sponsor:
		return takes(ad.advertiser.nameLength)
	case description:
		return takes(ad.native.descriptionLength)
	}
	return false
}

func (a *asset) takes(p *picture) bool {
	side := func(exact, least, held int64) bool {
		if least > 0 {
			return held >= least
		}
		return exact == 0 || held == exact
	}
	return side(a.exact.w, a.least.w, p.w) && side(a.exact.h, a.least.h, p.h) &&
		(len(a.mimes) == 0 || p.mime != "" && slices.Contains(a.mimes, p.mime))
}

// Whether the ad fills all that is required, and anything at all.
func (n *native) filledBy(ad *ad) bool {
	any := false
	for i := range n.assets {
		filled := n.assets[i].filledBy(ad)
		if n.assets[i].required && !filled {
			return false
		}
		any = any || filled
	}
	return any
}

// The native response as the markup of a bid.
func (n *native) markup(a *ad, macros *strings.Replacer) (string, error) {
	answer := response.Response{Ver: "1.2", Link: response.Link{URL: macros.Replace(a.clickURL)}}
	if url := macros.Replace(a.shownURL); url != "" {
		switch n.tracked {
		case byImpTracker:
			answer.ImpTrackers = []string{url}
		case byEvent:
			answer.EventTrackers = []response.EventTracker{{Event: native1.EventTypeImpression, Method: native1.EventTrackingMethodImage, URL: url}}
		}
	}
	for i := range n.assets {
		asked := &n.assets[i]
		if !asked.filledBy(a) {
			continue
		}
		filled := response.Asset{ID: &asked.id}
		switch asked.fill {
		case title:
			filled.Title = &response.Title{Text: a.native.title}
		case icon:
			filled.Img = a.native.icon.asset()
		case image:
			filled.Img = a.native.image.asset()
		case sponsor:
			filled.Data = &response.Data{Value: a.advertiser.name}
		case description:
			filled.Data = &response.Data{Value: a.native.description}
		}
		answer.Assets = append(answer.Assets, filled)
	}
	var whole any = answer
	if n.wrapped {
		whole = map[string]any{"native": answer}
	}
	text, err := json.Marshal(whole)
	return string(text), err
}

func (p *picture) asset() *response.Image {
	return &response.Image{URL: p.url, W: p.w, H: p.h}
}
