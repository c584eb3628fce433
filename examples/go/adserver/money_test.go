package main

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestFloors(t *testing.T) {
	for text, expected := range map[string]int64{
		"0": 0, "-0": 0, "0.0": 0, "0e10": 0, "1": 1_000_000, "0.1": 100_000, "2.5e0": 2_500_000, "1e-6": 1, "1e-7": 1,
		"0.0000010": 1, "0.00000100001": 2, "1.2345678": 1_234_568, "12E2": 1_200_000_000, "1e9": mostFloor, "1e300": mostFloor,
		"999999999.9999999": mostFloor, "1000000000.1": mostFloor, "1e-300": 1, "0.30000000000000004": 300_001, "1E+2": 100_000_000,
	} {
		if got, ok := floorMicros(text); !ok || got != expected {
			t.Errorf("%s: %d, expected %d", text, got, expected)
		}
	}
	for _, text := range []string{"1e301", "1e-301", "1e99999999999999999999", strings.Repeat("1", 101)} {
		if got, ok := floorMicros(text); ok {
			t.Errorf("%s: %d", text, got)
		}
	}
}

func ratio(a, b, c int64) *big.Rat {
	return new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(a), big.NewInt(b)), big.NewInt(c))
}

// The integer at or above, or at or below, a fraction; at most 2^53.
func rounded(of *big.Rat, up bool) int64 {
	quotient, rest := new(big.Int).QuoRem(of.Num(), of.Denom(), new(big.Int))
	if up && rest.Sign() > 0 {
		quotient.Add(quotient, big.NewInt(1))
	}
	if !quotient.IsInt64() || quotient.Int64() > mostMicros {
		return mostMicros
	}
	return quotient.Int64()
}

func TestMoneyIsExact(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	some := func(bits int) int64 { return random.Int64N(1<<random.IntN(bits)) + 1 }
	for range 100_000 {
		micros, rate := some(51), some(50)
		if got, expected := toOwn(micros, rate), rounded(ratio(micros, rate, rateOfOwn), true); got != expected {
			t.Fatalf("%d at %d: %d, expected %d", micros, rate, got, expected)
		}
		if got, expected := fromOwn(micros, rate), rounded(ratio(micros, rateOfOwn, rate), false); got != expected {
			t.Fatalf("%d at %d: %d, expected %d", micros, rate, got, expected)
		}
		p, q := random.Float32(), float32(math.Exp(-90*random.Float64()))
		exact := new(big.Rat).Mul(new(big.Rat).SetFloat64(float64(p)), new(big.Rat).SetFloat64(float64(q)))
		exact.Mul(exact, ratio(micros, 1000, 1))
		if got, expected := perThousand(micros, p, q), rounded(exact, true); got != expected {
			t.Fatalf("%d × %v × %v: %d, expected %d", micros, p, q, got, expected)
		}
	}
}

// Random floors in many currencies: no price is under its floor, none above what the ad is worth, and none is missing that could
// be. Compared as products of big integers, without the divisions of the code.
func TestPricesKeepFloors(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	some := func(bits int) int64 { return random.Int64N(1<<(1+random.IntN(bits))) + 1 }
	rates := make([]int64, 20)
	for i := range rates {
		rates[i] = some(42)
	}
	rates[0] = rateOfOwn
	product := func(a, b int64) *big.Int { return new(big.Int).Mul(big.NewInt(a), big.NewInt(b)) }
	bids := 0
	for range 100_000 {
		floor := least{some(44), rates[random.IntN(len(rates))], some(20)}
		worth := some(47)
		if random.IntN(2) == 0 { // where rounding decides
			worth = max(1, floor.inOwn()+random.Int64N(5)-2)
		}
		rate := rates[random.IntN(len(rates))]
		lowest, highest := product(floor.floor, floor.rate), product(worth, rateOfOwn)
		if own := product(floor.own, rateOfOwn); own.Cmp(lowest) > 0 {
			lowest = own
		}
		price, ok := floor.price(worth, min(worth, some(40)), rate)
		if !ok {
			next := rounded(new(big.Rat).SetFrac(lowest, big.NewInt(rate)), true)
			if paid := product(next, rate); paid.Cmp(lowest) >= 0 && paid.Cmp(highest) <= 0 {
				t.Fatalf("%+v: no bid of a worth of %d, though %d at %d fits", floor, worth, next, rate)
			}
			continue
		}
		bids++
		if paid := product(price, rate); paid.Cmp(lowest) < 0 || paid.Cmp(highest) > 0 {
			t.Fatalf("%+v: a price of %d at %d, worth %d", floor, price, rate, worth)
		}
	}
	if bids < 10_000 || bids == 100_000 {
		t.Errorf("%d bids", bids)
	}
}

func TestUnits(t *testing.T) {
	for micros, expected := range map[int64]string{
		1_250_000: "1.25", 3_000_000: "3", 1: "0.000001", 10: "0.00001", 999_999: "0.999999", mostMicros: "9007199254.740992",
	} {
		if got := units(micros); got != expected {
			t.Errorf("%d: %s, expected %s", micros, got, expected)
		}
	}
}
