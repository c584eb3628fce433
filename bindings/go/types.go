package adclick

// #include <adclick.h>
import "C"

import "sync"

// Value is one raw value of a feature, or of a column in [Engine.Upsert]. A repeated feature is a multi-valued one.
type Value struct {
	// The handle of the feature's input name ([Engine.Feature]) or of the column ([Engine.Column]).
	Feature uint32
	// The number of a number feature or vector position; of a multi-valued category its weight, 0 = 1.
	Number float32
	// The id of a category ([Hash] of a string, or the integer itself); the position in a vector.
	ID uint64
}

// Request is one ad request without its slices, which [Input] has.
type Request struct {
	structSize uint32
	// No flag is defined yet: 0.
	Flags uint32
	// The caller's id of the request; seeds what is random and ends up in logs.
	RequestID uint64
	// The user's key in user tables; 0 = unknown.
	UserKey uint64
	// When the request was made: microseconds since 1970-01-01 00:00 UTC (time.Time.UnixMicro).
	TimeUS int64
	// The user's offset from UTC in seconds, -86400 to 86400.
	UTCOffsetS int32
	// Set from the lengths of the slices.
	nValues, nCandidates, nCandidateValues uint32
	// Places to fill; 0 = 1.
	Slots uint32
	// The caller's number of the placement.
	Placement uint32
	// Time that Decide may take, in microseconds; 0 = no limit. Candidates not scored in time are cut.
	DeadlineUS uint32
	reserved   uint32
}

// Candidate is one candidate ad.
type Candidate struct {
	// The ad's key in ad tables; breaks ties (the smaller wins).
	AdKey uint64
	// The advertiser's key in cross tables.
	AdvertiserKey uint64
	// The bid for one event of its kind (CPM: 1000 impressions; oCPM: a conversion), in millionths of the currency unit.
	BidMicros int64
	// The least price of one billed event (CPM and oCPM: 1000 impressions); 0 = the policy's.
	ReserveMicros int64
	BidKind       BidKind
	// The first of this candidate's values in Input.CandidateValues.
	FirstValue uint32
	// How many values this candidate has.
	NumValues uint32
	// Multiplies the bid in ranking; 0 = 1.
	Modifier float32
	// Multiplies the rank score; 0 = 1.
	Quality  float32
	reserved uint32
}

// Input is a request with its candidates. It is only read, so that several calls may share it.
type Input struct {
	Request Request
	// What is known of the request itself.
	Values     []Value
	Candidates []Candidate
	// The values of all candidates; each candidate says which are its own.
	CandidateValues []Value
}

// Winner is one winner of an auction.
type Winner struct {
	// Index in Input.Candidates.
	Candidate uint32
	// The place, from 0.
	Slot uint32
	// Calibrated P(click | impression); NaN when the model has no such head.
	PCTR float32
	// Calibrated P(conversion | click); NaN when the model has no such head.
	PCVR float32
	// Expected value of 1000 impressions at the bid, in millionths of the currency unit.
	ECPMMicros int64
	// The price of one billed event (1000 impressions for CPM and oCPM).
	PriceMicros int64
	PriceBound  PriceBound
	// The eligible candidate next in rank, placed or not; [NoCandidate] when nobody was behind.
	RunnerUp uint32
	// The probability with which this candidate was put in this place; 1 when nothing is random.
	Propensity float64
	// Identifies this impression in logs: derived from the request id and the slot.
	ImpressionID uint64
	reserved     uint64
}

// NoCandidate is the RunnerUp of a winner that nobody was behind.
const NoCandidate uint32 = C.ADCLICK_NO_CANDIDATE

// Outcome says what a call did.
type Outcome struct {
	structSize uint32
	// Winners written.
	Winners uint32
	// Candidates scored.
	Scored uint32
	// Candidates that the deadline cut off.
	Cut uint32
	// Feature values that were missing or unknown and took their default, and values that the model has no use for.
	Missing uint32
	// What it was computed in.
	Precision Precision
	// The generation that the whole call saw.
	Generation uint64
	// Of Missing, values passed with the request that the model reads with candidates, or the other way round:
	// [Engine.InputError] names their inputs.
	WrongSide uint32
	reserved  uint32
}

// BidKind says what a bid pays for.
type BidKind uint32

const (
	// CPM pays per 1000 impressions.
	CPM BidKind = C.ADCLICK_BID_KIND_CPM
	// CPC pays per click.
	CPC BidKind = C.ADCLICK_BID_KIND_CPC
	// CPA pays per conversion.
	CPA BidKind = C.ADCLICK_BID_KIND_CPA
	// OCPM is bid per conversion and billed per 1000 impressions.
	OCPM BidKind = C.ADCLICK_BID_KIND_OCPM
)

// PriceBound says what decided a winner's price.
type PriceBound uint32

const (
	// BoundNextScore is the next candidate's score.
	BoundNextScore PriceBound = C.ADCLICK_PRICE_BOUND_NEXT_SCORE
	// BoundReserve is the reserve.
	BoundReserve PriceBound = C.ADCLICK_PRICE_BOUND_RESERVE
	// BoundBid is the candidate's own bid.
	BoundBid PriceBound = C.ADCLICK_PRICE_BOUND_BID
)

// Precision is the arithmetic that an engine is to serve in, and that outputs were produced in.
type Precision uint32

const (
	// OfBundle, of [Options]: what each bundle says, or Exact.
	OfBundle Precision = 0
	// Exact is fp16 weights with f32 sums.
	Exact Precision = 1 + C.ADCLICK_PRECISION_EXACT
	// BF16 is bf16 weights and activations with f32 sums.
	BF16 Precision = 1 + C.ADCLICK_PRECISION_BF16
	// INT8 is as BF16, with 8-bit integers in the deep layers behind a ReLU.
	INT8 Precision = 1 + C.ADCLICK_PRECISION_INT8
	// AuctionExact, of a decision: INT8 or BF16 for all candidates, and Exact for those that the winners and their prices
	// depend on.
	AuctionExact Precision = 1 + C.ADCLICK_PRECISION_AUCTION_EXACT
)

// String is the precision's name in bundles and metrics.
func (p Precision) String() string {
	return nameOf(p, "Precision", "of bundle", "exact", "bf16", "int8", "auction-exact")
}

// String is the kind's name.
func (k BidKind) String() string {
	return nameOf(k, "BidKind", "CPM", "CPC", "CPA", "oCPM")
}

// String is the bound's name.
func (b PriceBound) String() string {
	return nameOf(b, "PriceBound", "next score", "reserve", "bid")
}

// String is the state's name.
func (s AdCacheState) String() string {
	return nameOf(s, "AdCacheState", "off", "on", "too large", "useless", "not exact")
}

// AdCache is the ad cache of a generation, or what it would take ([Options].AdCacheMiB).
type AdCache struct {
	structSize uint32
	// Whether there is one, or why not.
	State AdCacheState
	// Ads whose sums it holds.
	Ads uint64
	// Bytes that it holds.
	Bytes uint64
	// Bytes that it takes, or would take; 0 when no sums can be kept.
	BytesNeeded uint64
}

// AdCacheState says why a generation has an ad cache or has none.
type AdCacheState uint32

const (
	// AdCacheOff: the options allow no memory for one.
	AdCacheOff AdCacheState = C.ADCLICK_AD_CACHE_STATE_OFF
	// AdCacheOn: it has one.
	AdCacheOn AdCacheState = C.ADCLICK_AD_CACHE_STATE_ON
	// AdCacheTooLarge: it would take more memory than the options allow.
	AdCacheTooLarge AdCacheState = C.ADCLICK_AD_CACHE_STATE_TOO_LARGE
	// AdCacheUseless: no feature reads a table whose key is the ad alone, or the first layers have so few such columns that
	// keeping their sums would save nothing. A cache of more than 1 MiB has its sums in memory and must save more; one of at
	// most 1 MiB is kept whenever it saves anything.
	AdCacheUseless AdCacheState = C.ADCLICK_AD_CACHE_STATE_USELESS
	// AdCacheNotExact: the precision served is BF16 or INT8, whose first layers are cheap; only exact sums are kept.
	AdCacheNotExact AdCacheState = C.ADCLICK_AD_CACHE_STATE_NOT_EXACT
)

// Reason says what became of a candidate.
type Reason uint32

const (
	// ReasonWon: it has a place.
	ReasonWon Reason = C.ADCLICK_REASON_WON
	// ReasonOutranked: eligible, but every place went to candidates ahead of it.
	ReasonOutranked Reason = C.ADCLICK_REASON_OUTRANKED
	// ReasonBelowReserve: the bid, in billed units, is under the candidate's reserve.
	ReasonBelowReserve Reason = C.ADCLICK_REASON_BELOW_RESERVE
	// ReasonInvalidBid: the bid is zero, negative, NaN or infinite.
	ReasonInvalidBid Reason = C.ADCLICK_REASON_INVALID_BID
	// ReasonBidTooLarge: the bid is over 2^53 micros.
	ReasonBidTooLarge Reason = C.ADCLICK_REASON_BID_TOO_LARGE
	// ReasonInvalidPCTR: pCTR is needed and is NaN, not above 0, or above 1.
	ReasonInvalidPCTR Reason = C.ADCLICK_REASON_INVALID_PCTR
	// ReasonInvalidPCVR: pCVR is needed and is not above 0, or above 1.
	ReasonInvalidPCVR Reason = C.ADCLICK_REASON_INVALID_PCVR
	// ReasonMissingPCVR: pCVR is needed and is missing (NaN).
	ReasonMissingPCVR Reason = C.ADCLICK_REASON_MISSING_PCVR
	// ReasonInvalidModifier: the bid modifier is negative, NaN or infinite.
	ReasonInvalidModifier Reason = C.ADCLICK_REASON_INVALID_MODIFIER
	// ReasonInvalidQuality: the quality is negative, NaN or infinite.
	ReasonInvalidQuality Reason = C.ADCLICK_REASON_INVALID_QUALITY
	// ReasonInvalidReserve: the reserve is negative.
	ReasonInvalidReserve Reason = C.ADCLICK_REASON_INVALID_RESERVE
	// ReasonBelowScoreFloor: the rank score is under the policy's score floor.
	ReasonBelowScoreFloor Reason = C.ADCLICK_REASON_BELOW_SCORE_FLOOR
	// ReasonScoreOutOfRange: the rank score over- or underflows.
	ReasonScoreOutOfRange Reason = C.ADCLICK_REASON_SCORE_OUT_OF_RANGE
	// ReasonUnknownBidKind: the bid's kind is not one that the library knows.
	ReasonUnknownBidKind Reason = C.ADCLICK_REASON_UNKNOWN_BID_KIND
	// ReasonCut: it was not scored before the deadline, so it took no part.
	ReasonCut Reason = C.ADCLICK_REASON_CUT
)

// The names of the reasons that the library may know; asked for once, since a call costs more than a look.
var reasonNames = sync.OnceValue(func() (names [64]string) {
	for i := range names {
		names[i] = C.GoString(C.adclick_reason_name(C.uint32_t(i)))
	}
	return names
})

// String is the library's name of the reason, such as "below_reserve".
func (r Reason) String() string {
	if names := reasonNames(); int(r) < len(names) {
		return names[r]
	}
	return C.GoString(C.adclick_reason_name(C.uint32_t(r)))
}

// Version is that of the linked library, such as "0.1.0".
func Version() string {
	return C.GoString(C.adclick_version())
}

// BestKernel is the name of the best instruction set that this CPU has: "avx512", "avx2" or "portable".
func BestKernel() string {
	return C.GoString(C.adclick_kernel(nil))
}

// ABIVersion is the version of the C ABI that the linked library has.
func ABIVersion() uint32 {
	return uint32(C.adclick_abi_version())
}
