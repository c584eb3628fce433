package adclick_test

import (
	"fmt"
	"reflect"
	"testing"

	"adclick.io/adclick"
)

// That sizes and offsets are those of C is checked when the package is compiled (layout.go). Here: that every byte
// belongs to a field, so that the library never sees bytes that nobody set, and that there is no pointer.
func TestStructsHaveNoHolesAndNoPointers(t *testing.T) {
	for _, of := range []reflect.Type{
		reflect.TypeFor[adclick.Value](),
		reflect.TypeFor[adclick.Row](),
		reflect.TypeFor[adclick.Request](),
		reflect.TypeFor[adclick.Candidate](),
		reflect.TypeFor[adclick.Winner](),
		reflect.TypeFor[adclick.Outcome](),
		reflect.TypeFor[adclick.UpsertResult](),
		reflect.TypeFor[adclick.TableInfo](),
		reflect.TypeFor[adclick.AdCache](),
		reflect.TypeFor[adclick.AuctionOptions](),
	} {
		at := uintptr(0)
		for i := range of.NumField() {
			field := of.Field(i)
			if field.Offset != at {
				t.Errorf("%v.%s is at %d; the fields before it end at %d", of, field.Name, field.Offset, at)
			}
			kind := field.Type.Kind()
			if kind == reflect.Array {
				kind = field.Type.Elem().Kind()
			}
			if kind < reflect.Int || kind > reflect.Float64 || kind == reflect.Uintptr {
				t.Errorf("%v.%s is no number of a fixed size: %v", of, field.Name, field.Type)
			}
			at = field.Offset + field.Type.Size()
		}
		if at != of.Size() {
			t.Errorf("%v has %d bytes, its fields end at %d", of, of.Size(), at)
		}
	}
}

func TestHashAndKey(t *testing.T) {
	// XXH3-64 with seed 0, from its specification.
	if got := adclick.Hash(""); got != 0x2d06800538d394c2 {
		t.Errorf("the hash of nothing is %#x", got)
	}
	if adclick.Hash("phone") != adclick.HashBytes([]byte("phone")) || adclick.Hash("phone") == adclick.Hash("tablet") {
		t.Error("hashes differ where they must not, or do not where they must")
	}
	if adclick.Key(7) != 7 || adclick.Key() != 0 || adclick.Key(7, 0) != 0 || adclick.Key(7, 8) == adclick.Key(8, 7) {
		t.Error("keys are not what ids make of them")
	}
}

func TestNamesComeFromTheLibrary(t *testing.T) {
	for reason, name := range map[adclick.Reason]string{
		adclick.ReasonWon: "won", adclick.ReasonBelowReserve: "below_reserve", adclick.ReasonCut: "cut",
		adclick.Reason(63): "unknown reason", adclick.Reason(1 << 20): "unknown reason",
	} {
		if reason.String() != name {
			t.Errorf("reason %d is %q, expected %q", uint32(reason), reason, name)
		}
	}
	for number, name := range map[fmt.Stringer]string{
		adclick.OfBundle: "of bundle", adclick.Exact: "exact", adclick.AuctionExact: "auction-exact",
		adclick.Precision(9): "Precision(9)", adclick.CPM: "CPM", adclick.OCPM: "oCPM", adclick.BidKind(4): "BidKind(4)",
		adclick.BoundBid: "bid", adclick.AdCacheNotExact: "not exact", adclick.SideCandidate: "candidate",
		adclick.KindVector: "vector", adclick.ReadFixed: "fixed", adclick.SourceDot: "dot", adclick.WholeRow: "whole row",
		adclick.Operation(3): "Operation(3)",
	} {
		if number.String() != name {
			t.Errorf("%q, expected %q", number, name)
		}
	}
	if adclick.ErrClosed.Error() != "ADCLICK_CLOSED" || adclick.ABIVersion() == 0 || adclick.Version() == "" {
		t.Error("the status's name or the versions are wrong")
	}
}
