package main

import (
	"slices"
	"strings"
)

// Whether an ad may be shown for an imp of a request, but for having won an earlier one.
func (a *ad) passes(asked *asked, imp *imp) bool {
	return !imp.private && a.fits(imp) && (!imp.secure || a.secure) && !a.blocked(asked) && a.target.takes(asked)
}

func (a *ad) fits(imp *imp) bool {
	switch {
	case a.banner != nil:
		return slices.Contains(imp.banner, *a.banner)
	case a.video != nil:
		v := imp.video
		return v != nil && (len(v.mimes) == 0 || slices.Contains(v.mimes, a.video.mime)) && v.least <= a.video.seconds &&
			(v.most == 0 || v.most >= a.video.seconds) &&
			(len(v.protocols) == 0 || slices.Contains(v.protocols, a.video.protocol))
	default:
		return imp.native != nil && imp.native.filledBy(a.native)
	}
}

func (a *ad) blocked(asked *asked) bool {
	for _, blocked := range asked.blockedCat {
		for _, cat := range a.cat {
			if blocked != "" && strings.HasPrefix(cat, blocked) && (len(cat) == len(blocked) || cat[len(blocked)] == '-') {
				return true
			}
		}
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
