package main

import (
	"slices"
	"strings"
)

// Whether an ad may be shown for an imp of a request, but for having won an earlier one.
func (a *ad) passes(asked *asked, imp *imp) bool {
	return a.fits(imp) && (!imp.secure || a.secure) && !a.blocked(asked) && a.allowed(asked) && a.target.takes(asked)
}

// Whether it is sold on these terms.
func (a *ad) soldOn(t *terms) bool {
	if t.deal == "" {
		return !a.onlyDeals
	}
	return slices.Contains(a.deals, t.deal) && (len(t.domains) == 0 || slices.Contains(t.domains, a.advertiser.domain))
}

// Whether it has of another ad of its pod what two of a pod may not share.
func (a *ad) repeats(other *ad, rules []int64) bool {
	asks := func(rule int64) bool { return slices.Contains(rules, rule) }
	return asks(1) && a.advertiser.domain == other.advertiser.domain ||
		asks(2) && slices.ContainsFunc(a.cat, func(cat string) bool { return slices.Contains(other.cat, cat) }) ||
		(asks(3) || asks(4)) && a.creative == other.creative
}

func (a *ad) fits(imp *imp) bool {
	switch {
	case a.banner != nil:
		return slices.Contains(imp.banner, *a.banner) && a.behaves(imp.bannerAttr)
	case a.video != nil:
		v := imp.video
		return v != nil && (len(v.mimes) == 0 || slices.Contains(v.mimes, a.video.mime)) && v.least <= a.video.seconds &&
			(v.most == 0 || v.most >= a.video.seconds) &&
			(len(v.protocols) == 0 || slices.Contains(v.protocols, a.video.protocol)) &&
			(v.linearity == 0 || v.linearity == a.video.linearity) && (len(v.durations) == 0 || slices.Contains(v.durations, a.video.seconds)) &&
			(a.video.placement == nil || slices.Contains(a.video.placement, v.placement)) &&
			(a.video.plcmt == nil || slices.Contains(a.video.plcmt, v.plcmt)) && a.behaves(imp.videoAttr)
	default:
		return imp.native != nil && imp.native.filledBy(a) && a.behaves(imp.nativeAttr)
	}
}

// Whether it has none of the attributes that are blocked.
func (a *ad) behaves(blocked []int64) bool {
	return !slices.ContainsFunc(a.attr, func(attribute int64) bool { return slices.Contains(blocked, attribute) })
}

// Whether the lists of what may be shown, as far as they are there, have it.
func (a *ad) allowed(asked *asked) bool {
	if len(asked.languages) > 0 && (a.language == "" || !slices.Contains(asked.languages, a.language)) {
		return false
	}
	if len(asked.allowedCat) == 0 {
		return true
	}
	outside := func(cat string) bool {
		return !slices.ContainsFunc(asked.allowedCat, func(allowed string) bool { return covers(allowed, cat) })
	}
	return len(a.cat) > 0 && !slices.ContainsFunc(a.cat, outside)
}

// Whether a category is another one, or under it.
func covers(above, cat string) bool {
	return above != "" && strings.HasPrefix(cat, above) && (len(cat) == len(above) || cat[len(above)] == '-')
}

func (a *ad) blocked(asked *asked) bool {
	for _, blocked := range asked.blockedCat {
		for _, cat := range a.cat {
			if covers(blocked, cat) {
				return true
			}
		}
	}
	if a.bundle != "" && slices.Contains(asked.blockedApps, a.bundle) {
		return true
	}
	domain := a.advertiser.domain
	for _, blocked := range asked.blockedDomains {
		if blocked == "" || !strings.HasSuffix(domain, blocked) {
			continue
		}
		if before := len(domain) - len(blocked); before == 0 || domain[before-1] == '.' {
			return true
		}
	}
	return false
}

func (t *target) takes(asked *asked) bool {
	has := func(list []string, text string) bool { return list == nil || text != "" && slices.Contains(list, text) }
	return has(t.country, asked.country) && has(t.os, asked.os) && has(t.include, asked.inventory) &&
		(t.deviceType == nil || slices.Contains(t.deviceType, asked.deviceType)) &&
		(asked.inventory == "" || !slices.Contains(t.exclude, asked.inventory))
}
