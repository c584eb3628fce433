package main

import (
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"strings"
)

// Money is in micros, in integers. Rates are in billionths.

const (
	rateOfOwn  = 1_000_000_000
	mostMicros = 1 << 53
	mostFloor  = 1_000_000_000_000_000 // 10^9 units
)

// The decimal text of a JSON number, at least 0, in micros, rounded up, at most mostFloor. False when it has more digits
// or a larger exponent than anybody needs.
func floorMicros(number string) (int64, bool) {
	if len(number) > 100 {
		return 0, false
	}
	digits, exponent := number, 0
	if at := strings.IndexAny(number, "eE"); at >= 0 {
		var err error
		if exponent, err = strconv.Atoi(number[at+1:]); err != nil || exponent < -300 || exponent > 300 {
			return 0, false
		}
		digits = number[:at]
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	digits = strings.TrimLeft(whole+fraction, "-0")
	if digits == "" {
		return 0, true
	}
	// The value is digits × 10^shift, in micros.
	shift := exponent - len(fraction) + 6
	if len(digits)+shift > 16 {
		return mostFloor, true
	}
	if shift >= 0 {
		digits += strings.Repeat("0", shift)
	}
	kept := len(digits)
	if shift < 0 {
		kept = max(0, kept+shift)
	}
	value := int64(0)
	for _, digit := range digits[:kept] {
		value = value*10 + int64(digit-'0')
	}
	if strings.Trim(digits[kept:], "0") != "" {
		value++
	}
	return min(value, mostFloor), true
}

// a × b / c and whether something was left; at most mostMicros. All are at least 0, c is above 0.
func mulDiv(a, b, c int64) (quotient int64, rest bool) {
	high, low := bits.Mul64(uint64(a), uint64(b))
	if high >= uint64(c) {
		return mostMicros, false
	}
	q, r := bits.Div64(high, low, uint64(c))
	if q >= mostMicros {
		return mostMicros, false
	}
	return int64(q), r != 0
}

// Into the own currency, rounded up.
func toOwn(micros, rate int64) int64 {
	own, rest := mulDiv(micros, rate, rateOfOwn)
	if rest && own < mostMicros {
		own++
	}
	return own
}

// From the own currency, rounded down.
func fromOwn(micros, rate int64) int64 {
	other, _ := mulDiv(micros, rateOfOwn, rate)
	return other
}

// What a bid must reach: a floor in micros of the currency of that rate, and the least price in micros of the own one.
type least struct {
	floor, rate, own int64
}

// In the own currency, rounded up.
func (l least) inOwn() int64 { return max(toOwn(l.floor, l.rate), l.own) }

// The price in micros of the currency of that rate: what the ad is worth, rounded down, or less, what is needed, rounded down,
// where that is enough; never under the floor, which is rounded up. False when the ad is not worth its floor. worth and needed
// are in the own currency.
func (l least) price(worth, needed, rate int64) (int64, bool) {
	highest := fromOwn(worth, rate)
	lowest := int64(0)
	for _, one := range [][2]int64{{l.floor, l.rate}, {l.own, rateOfOwn}} {
		high, low := bits.Mul64(uint64(one[0]), uint64(one[1]))
		if high >= uint64(rate) {
			return 0, false
		}
		quotient, rest := bits.Div64(high, low, uint64(rate))
		if rest > 0 {
			quotient++
		}
		if quotient > mostMicros {
			return 0, false
		}
		lowest = max(lowest, int64(quotient))
	}
	if lowest > highest {
		return 0, false
	}
	return min(max(fromOwn(needed, rate), lowest), highest), true
}

// The price of 1000 impressions that a price of one event comes to, rounded up, at most mostMicros. Exact: a float32 is an
// integer times a power of two.
func perThousand(price int64, probabilities ...float32) int64 {
	product := new(big.Int).Mul(big.NewInt(price), big.NewInt(1000))
	shift := 0
	for _, p := range probabilities {
		fraction, exponent := math.Frexp(float64(p))
		product.Mul(product, big.NewInt(int64(fraction*(1<<24))))
		shift += 24 - exponent
	}
	if shift > 0 {
		product.Add(product, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(shift)), big.NewInt(1)))
		product.Rsh(product, uint(shift))
	}
	if !product.IsInt64() || product.Int64() > mostMicros {
		return mostMicros
	}
	return product.Int64()
}

// Units with as many digits behind the dot as it takes.
func units(micros int64) string {
	whole, rest := micros/1_000_000, micros%1_000_000
	if rest == 0 {
		return strconv.FormatInt(whole, 10)
	}
	digits := strconv.FormatInt(1_000_000+rest, 10)[1:]
	return strconv.FormatInt(whole, 10) + "." + strings.TrimRight(digits, "0")
}
