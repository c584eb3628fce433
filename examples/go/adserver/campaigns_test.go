package main

import (
	"os"
	"strings"
	"testing"
)

// A mistake in the file is refused, and the message says where it is.
func TestCampaignsWithMistakes(t *testing.T) {
	text, err := os.ReadFile(campaignsFile)
	if err != nil {
		t.Fatal(err)
	}
	good := string(text)
	if c, refused := readCampaigns(text); refused != nil || len(c.ads) < 10 {
		t.Fatal(refused)
	}
	for _, one := range []struct{ from, to, at string }{
		{`"currency": "USD"`, `"currency": "usd"`, "currency"},
		{`"currency": "USD"`, `"curency": "USD"`, "curency"},
		{`"min_cpm": "0.01"`, `"min_cpm": "0"`, "min_cpm"},
		{`"min_cpm": "0.01"`, `"min_cpm": 0.01`, "min_cpm"},
		{`"rates": {`, `"rates": {"USD": "1", `, "rates.USD"},
		{`"EUR": "1.0842"`, `"EUR": "1e3"`, "rates.EUR"},
		{`"id": "globex", "name"`, `"id": "acme", "name"`, "advertisers[1].id"},
		{`"domain": "acme.example"`, `"domain": "Acme.example"`, "advertisers[0].domain"},
		{`"id": "acme-320x50"`, `"id": "acme-300x250"`, "ads[1].id"},
		{`"id": "acme-320x50"`, `"id": "acme 320x50"`, "ads[1].id"},
		{`"id": "acme-320x50", "advertiser": "acme"`, `"id": "acme-320x50", "advertiser": "acne"`, "ads[1].advertiser"},
		{`"kind": "cpm", "amount": "2.48"`, `"kind": "cpx", "amount": "2.48"`, "ads[0].bid.kind"},
		{`"amount": "2.48", "currency": "USD"`, `"amount": "2.48", "currency": "SEK"`, "ads[0].bid.currency"},
		{`"amount": "2.48"`, `"amount": "100000.000001"`, "ads[0].bid.amount"},
		{`"amount": "2.48"`, `"amount": "-1"`, "ads[0].bid.amount"},
		{`"cat": ["IAB10-3"], "secure": true`, `"cat": [""], "secure": true`, "ads[0].cat[0]"},
		{`"secure": true`, `"secure": 1`, "ads[0].secure"},
		{`"banner": {"w": 300, "h": 250}`, `"banner": {"w": 0, "h": 250}`, "ads[0].banner.w"},
		{`"banner": {"w": 300, "h": 250}`, `"banner": {"w": 300}`, "ads[0].banner.h"},
		{`"banner": {"w": 300, "h": 250}, `, ``, "ads[0]"},
		{`"target": {"country": ["USA", "CAN"]}`, `"target": {"country": ["usa"]}`, "ads[0].target.country[0]"},
		{`"target": {"country": ["USA", "CAN"]}`, `"target": {"county": []}`, "ads[0].target.county"},
		{`"click_url": "{{events}}/click?i={{impression}}&ad={{ad}}",`, ``, "click_url"},
		{`"gdpr_vendor": 1999`, `"gdpr_vendor": 0`, "gdpr_vendor"},
		{`"gdpr_vendor": 1999`, `"gdpr_vendor": 65536`, "gdpr_vendor"},
		{`"gdpr_vendor": 1999`, `"cattax": "1"`, "cattax"},
		{`"language": "en"`, `"language": "EN"`, "ads[0].language"},
		{`"attr": [1, 6]`, `"attr": [0]`, "ads[0].attr[0]"},
		{`"linearity": 2`, `"linearity": 3`, "video.linearity"},
		{`"plcmt": [1, 2]`, `"plcmt": 1`, "video.plcmt"},
		{`"mime": "image/jpeg"`, `"mime": ""`, "native.image.mime"},
		{`"banner": {"w": 300, "h": 250}`, `"impression_url": "https://ads.example/i", "banner": {"w": 300, "h": 250}`, "impression_url"},
	} {
		if !strings.Contains(good, one.from) {
			t.Fatalf("the file has no %s", one.from)
		}
		_, refused := readCampaigns([]byte(strings.Replace(good, one.from, one.to, 1)))
		if refused == nil || !strings.HasSuffix(refused.at, one.at) {
			t.Errorf("%s: %v, expected it at %s", one.to, refused, one.at)
		}
	}
}
