package main

import (
	"encoding/json"
	"slices"
	"strings"
)

// Whether a request lets its user be known: TCF, GPP and US privacy (../../openrtb/MAPPING.md, section 4).

const (
	mostSections = 64  // of gpp_sid
	lastSection  = 255 // of a GPP string
)

// What needs the user's consent where GDPR applies: purposes of TCF.
var purposes = []uint64{1, 3, 4, 7}

// permits reads the signals of a request's regs and user, each of which may be nil. False when one of them refuses, or cannot
// be read. vendor is the bidder's number in the Global Vendor List; 0 = it has none.
func permits(regs, user object, vendor uint64) bool {
	if _, isObject := regs["ext"].(object); regs["ext"] != nil && !isObject {
		return false
	}
	gpp, ok := textOf(hereOrExt(regs, "gpp"))
	if !ok {
		return false
	}
	if usp, ok := textOf(hereOrExt(regs, "us_privacy")); !ok || usp != "" && !usPrivacyPermits(usp) {
		return false
	}
	if gdpr := hereOrExt(regs, "gdpr"); gdpr != nil && gdpr != json.Number("0") && gdpr != json.Number("-0") {
		consent, ok := textOf(hereOrExt(user, "consent"))
		if ok && consent == "" && gpp != "" {
			if sections, ok := readGPP(gpp); ok {
				consent = sections[2]
			}
		}
		if !ok || !tcfPermits(consent, vendor) {
			return false
		}
	}
	return gppPermits(hereOrExt(regs, "gpp_sid"), gpp, vendor)
}

// A member, or that of ext, where older requests have it.
func hereOrExt(of object, name string) any {
	if found := of[name]; found != nil {
		return found
	}
	ext, _ := of["ext"].(object)
	return ext[name]
}

// A text, empty when it is not there; false when it is something else.
func textOf(found any) (string, bool) {
	text, ok := found.(string)
	return text, ok || found == nil
}

func gppPermits(listed any, text string, vendor uint64) bool {
	var applies []int
	if listed != nil {
		entries, ok := listed.([]any)
		if !ok || len(entries) > mostSections {
			return false
		}
		r := &reader{}
		for _, entry := range entries {
			number, ok := entry.(json.Number)
			if !ok {
				return false
			}
			applies = append(applies, int(r.integer(number, -anyInt-1, anyInt)))
		}
		if r.refused != nil {
			return false
		}
	}
	none := !slices.ContainsFunc(applies, func(number int) bool { return number != 0 })
	if none && (len(applies) > 0 || text == "") {
		return true
	}
	sections, ok := readGPP(text)
	if !ok {
		return false
	}
	if len(applies) == 0 {
		for number := range sections {
			applies = append(applies, number)
		}
	}
	for _, number := range applies {
		if number != 0 && !sectionPermits(number, sections[number], vendor) {
			return false
		}
	}
	return true
}

func sectionPermits(number int, text string, vendor uint64) bool {
	switch {
	case number == 2:
		return tcfPermits(text, vendor)
	case number == 6:
		return usPrivacyPermits(text)
	default:
		return number >= 7 && number <= 27 && usSectionPermits(number, text)
	}
}

// The sections of a GPP string by their numbers.
func readGPP(text string) (map[int]string, bool) {
	parts := strings.Split(text, "~")
	header, _, _ := strings.Cut(parts[0], ".")
	from := newBits(header)
	known := from.read(6) == 3 && from.read(6) == 1
	sections, at := map[int]string{}, 1
	last := uint64(0)
	for n := from.read(12); n > 0 && !from.bad; n-- {
		isRange := from.read(1) == 1
		number := last + from.fibonacci()
		if last = number; isRange {
			last += from.fibonacci()
		}
		if from.bad || last > lastSection {
			return nil, false
		}
		for ; number <= last; number++ {
			if at == len(parts) {
				return nil, false
			}
			sections[int(number)] = parts[at]
			at++
		}
	}
	return sections, known && !from.bad && at == len(parts)
}

// A TCF string, version 2: consent to each purpose and to the vendor, and no publisher's restriction against it.
func tcfPermits(text string, vendor uint64) bool {
	core, _, _ := strings.Cut(text, ".")
	from := newBits(core)
	version := from.read(6)
	from.skip(146) // dates, the consent screen, languages, versions, special features
	agreed := from.read(24)
	from.skip(24 + 1 + 12) // legitimate interest, whether purpose 1 was asked for, the publisher's country
	permitted := version == 2 && from.vendorsHave(vendor) && vendor != 0
	for _, purpose := range purposes {
		permitted = permitted && agreed>>(24-purpose)&1 == 1
	}
	if !permitted {
		return false
	}
	from.vendorsHave(vendor) // legitimate interest
	for n := from.read(12); n > 0 && !from.bad; n-- {
		purpose, requiresConsent := from.read(6), from.read(2) == 1
		if from.rangesHave(vendor) && slices.Contains(purposes, purpose) && !requiresConsent {
			permitted = false
		}
	}
	return permitted && !from.bad
}

func usPrivacyPermits(text string) bool {
	return len(text) == 4 && text[0] == '1' && strings.Trim(text[1:], "YNyn-") == "" && text[2] != 'Y' && text[2] != 'y'
}

// Where the opt-outs of a US section begin: sale, sharing, targeted advertising, as far as it has them.
func optOuts(section int) []int {
	switch {
	case section == 7:
		return []int{18, 20, 22}
	case section == 11 || section == 18:
		return []int{14, 16}
	case section >= 24:
		return []int{16, 18}
	default:
		return []int{12, 14}
	}
}

func usSectionPermits(section int, text string) bool {
	segments := strings.Split(text, ".")
	if version := newBits(segments[0]).read(6); version != 1 && !(version == 2 && section == 7) {
		return false
	}
	for _, begin := range optOuts(section) {
		from := newBits(segments[0])
		from.skip(begin)
		if opted := from.read(2); from.bad || opted == 1 || opted == 3 {
			return false
		}
	}
	for _, segment := range segments[1:] {
		from := newBits(segment)
		if globalControl := from.read(2) == 1 && from.read(1) == 1; from.bad || globalControl {
			return false
		}
	}
	return true
}

// The bits of a text in base64url without padding, the highest first. After a read past the end, or in a text with other
// letters, bad is true and all reads give 0.
type bitstream struct {
	text string
	at   int
	bad  bool
}

const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func newBits(text string) *bitstream {
	return &bitstream{text: text, bad: text == "" || strings.Trim(text, digits) != ""}
}

func (b *bitstream) skip(n int) {
	b.at += n
	b.bad = b.bad || b.at > 6*len(b.text)
}

func (b *bitstream) read(width int) (number uint64) {
	begin := b.at
	b.skip(width)
	for i := begin; !b.bad && i < b.at; i++ {
		digit := strings.IndexByte(digits, b.text[i/6])
		number = number<<1 | uint64(digit>>(5-i%6)&1)
	}
	return number
}

// A sum of Fibonacci numbers, the smallest first, that ends with two ones.
func (b *bitstream) fibonacci() (sum uint64) {
	for one, two, before := uint64(1), uint64(2), uint64(0); !b.bad; one, two = two, one+two {
		bit := b.read(1)
		if bit == 1 && before == 1 {
			return sum
		}
		sum += bit * one
		before = bit
		b.bad = b.bad || two > 1000
	}
	return 0
}

func (b *bitstream) rangesHave(vendor uint64) (found bool) {
	for n := b.read(12); n > 0 && !b.bad; n-- {
		isRange, first := b.read(1) == 1, b.read(16)
		last := first
		if isRange {
			last = b.read(16)
		}
		found = found || first <= vendor && vendor <= last
	}
	return found
}

func (b *bitstream) vendorsHave(vendor uint64) bool {
	most := b.read(16)
	if b.read(1) == 1 {
		return b.rangesHave(vendor)
	}
	if vendor == 0 || vendor > most {
		b.skip(int(most))
		return false
	}
	b.skip(int(vendor) - 1)
	found := b.read(1) == 1
	b.skip(int(most - vendor))
	return found
}
