package main

import (
	"encoding/json"

	"github.com/prebid/openrtb/v20/native1"
	"github.com/prebid/openrtb/v20/native1/response"
)

// A native request: the assets that an ad is to fill.
type native struct {
	wrapped bool // in an object `native`, and so is the answer
	assets  []asset
}

type asset struct {
	id       int64
	required bool
	fill     filling
	longest  int64 // of a title; 0 = no limit
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
func readNative(text string) *native {
	tree, refused := parse([]byte(text))
	root, ok := tree.(object)
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
	if r.refused != nil || len(n.assets) == 0 {
		return nil
	}
	return n
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
		switch native1.ImageAssetType(number(of, "type", int64(native1.ImageAssetTypeMain))) {
		case native1.ImageAssetTypeIcon:
			a.fill = icon
		case native1.ImageAssetTypeMain:
			a.fill = image
		}
	})
	once("data", func(of object) {
		switch native1.DataAssetType(number(of, "type", 0)) {
		case native1.DataAssetTypeSponsored:
			a.fill = sponsor
		case native1.DataAssetTypeDesc:
			a.fill = description
		}
	})
	once("video", func(object) {})
}

func (a *asset) filledBy(n *nativeAd) bool {
	return a.fill != nothing && (a.fill != title || a.longest <= 0 || a.longest >= n.titleLength)
}

// Whether the ad fills all that is required, and anything at all.
func (n *native) filledBy(ad *nativeAd) bool {
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
func (n *native) markup(a *ad) (string, error) {
	answer := response.Response{Ver: "1.2", Link: response.Link{URL: a.clickURL}}
	for i := range n.assets {
		asked := &n.assets[i]
		if !asked.filledBy(a.native) {
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
