package adclick

// #include <adclick.h>
import "C"

import "unsafe"

// The structs that the library reads and writes in place have the layout of the C header. Where a size or an offset
// differs, an index below is not 0 and this package does not compile. A test checks that no byte is without a field.
var equal [1]struct{}

var (
	_ = equal[unsafe.Sizeof(Value{})-C.sizeof_adclick_value]
	_ = equal[unsafe.Offsetof(Value{}.Feature)-unsafe.Offsetof(C.adclick_value{}.feature)]
	_ = equal[unsafe.Offsetof(Value{}.Number)-unsafe.Offsetof(C.adclick_value{}.number)]
	_ = equal[unsafe.Offsetof(Value{}.ID)-unsafe.Offsetof(C.adclick_value{}.id)]
)

var (
	_ = equal[unsafe.Sizeof(Row{})-C.sizeof_adclick_row]
	_ = equal[unsafe.Offsetof(Row{}.Key)-unsafe.Offsetof(C.adclick_row{}.key)]
	_ = equal[unsafe.Offsetof(Row{}.FirstValue)-unsafe.Offsetof(C.adclick_row{}.first_value)]
	_ = equal[unsafe.Offsetof(Row{}.NumValues)-unsafe.Offsetof(C.adclick_row{}.n_values)]
)

var (
	_ = equal[unsafe.Sizeof(Request{})-C.sizeof_adclick_request]
	_ = equal[unsafe.Offsetof(Request{}.structSize)-unsafe.Offsetof(C.adclick_request{}.struct_size)]
	_ = equal[unsafe.Offsetof(Request{}.Flags)-unsafe.Offsetof(C.adclick_request{}.flags)]
	_ = equal[unsafe.Offsetof(Request{}.RequestID)-unsafe.Offsetof(C.adclick_request{}.request_id)]
	_ = equal[unsafe.Offsetof(Request{}.UserKey)-unsafe.Offsetof(C.adclick_request{}.user_key)]
	_ = equal[unsafe.Offsetof(Request{}.TimeUS)-unsafe.Offsetof(C.adclick_request{}.time_us)]
	_ = equal[unsafe.Offsetof(Request{}.UTCOffsetS)-unsafe.Offsetof(C.adclick_request{}.utc_offset_s)]
	_ = equal[unsafe.Offsetof(Request{}.nValues)-unsafe.Offsetof(C.adclick_request{}.n_values)]
	_ = equal[unsafe.Offsetof(Request{}.nCandidates)-unsafe.Offsetof(C.adclick_request{}.n_candidates)]
	_ = equal[unsafe.Offsetof(Request{}.nCandidateValues)-unsafe.Offsetof(C.adclick_request{}.n_candidate_values)]
	_ = equal[unsafe.Offsetof(Request{}.Slots)-unsafe.Offsetof(C.adclick_request{}.n_slots)]
	_ = equal[unsafe.Offsetof(Request{}.Placement)-unsafe.Offsetof(C.adclick_request{}.placement)]
	_ = equal[unsafe.Offsetof(Request{}.DeadlineUS)-unsafe.Offsetof(C.adclick_request{}.deadline_us)]
	_ = equal[unsafe.Offsetof(Request{}.reserved)-unsafe.Offsetof(C.adclick_request{}.reserved)]
)

var (
	_ = equal[unsafe.Sizeof(Candidate{})-C.sizeof_adclick_candidate]
	_ = equal[unsafe.Offsetof(Candidate{}.AdKey)-unsafe.Offsetof(C.adclick_candidate{}.ad_key)]
	_ = equal[unsafe.Offsetof(Candidate{}.AdvertiserKey)-unsafe.Offsetof(C.adclick_candidate{}.advertiser_key)]
	_ = equal[unsafe.Offsetof(Candidate{}.BidMicros)-unsafe.Offsetof(C.adclick_candidate{}.bid_micros)]
	_ = equal[unsafe.Offsetof(Candidate{}.ReserveMicros)-unsafe.Offsetof(C.adclick_candidate{}.reserve_micros)]
	_ = equal[unsafe.Offsetof(Candidate{}.BidKind)-unsafe.Offsetof(C.adclick_candidate{}.bid_kind)]
	_ = equal[unsafe.Offsetof(Candidate{}.FirstValue)-unsafe.Offsetof(C.adclick_candidate{}.first_value)]
	_ = equal[unsafe.Offsetof(Candidate{}.NumValues)-unsafe.Offsetof(C.adclick_candidate{}.n_values)]
	_ = equal[unsafe.Offsetof(Candidate{}.Modifier)-unsafe.Offsetof(C.adclick_candidate{}.modifier)]
	_ = equal[unsafe.Offsetof(Candidate{}.Quality)-unsafe.Offsetof(C.adclick_candidate{}.quality)]
	_ = equal[unsafe.Offsetof(Candidate{}.reserved)-unsafe.Offsetof(C.adclick_candidate{}.reserved)]
)

var (
	_ = equal[unsafe.Sizeof(Winner{})-C.sizeof_adclick_winner]
	_ = equal[unsafe.Offsetof(Winner{}.Candidate)-unsafe.Offsetof(C.adclick_winner{}.candidate)]
	_ = equal[unsafe.Offsetof(Winner{}.Slot)-unsafe.Offsetof(C.adclick_winner{}.slot)]
	_ = equal[unsafe.Offsetof(Winner{}.PCTR)-unsafe.Offsetof(C.adclick_winner{}.pctr)]
	_ = equal[unsafe.Offsetof(Winner{}.PCVR)-unsafe.Offsetof(C.adclick_winner{}.pcvr)]
	_ = equal[unsafe.Offsetof(Winner{}.ECPMMicros)-unsafe.Offsetof(C.adclick_winner{}.ecpm_micros)]
	_ = equal[unsafe.Offsetof(Winner{}.PriceMicros)-unsafe.Offsetof(C.adclick_winner{}.price_micros)]
	_ = equal[unsafe.Offsetof(Winner{}.PriceBound)-unsafe.Offsetof(C.adclick_winner{}.price_bound)]
	_ = equal[unsafe.Offsetof(Winner{}.RunnerUp)-unsafe.Offsetof(C.adclick_winner{}.runner_up)]
	_ = equal[unsafe.Offsetof(Winner{}.Propensity)-unsafe.Offsetof(C.adclick_winner{}.propensity)]
	_ = equal[unsafe.Offsetof(Winner{}.ImpressionID)-unsafe.Offsetof(C.adclick_winner{}.impression_id)]
	_ = equal[unsafe.Offsetof(Winner{}.reserved)-unsafe.Offsetof(C.adclick_winner{}.reserved)]
)

var (
	_ = equal[unsafe.Sizeof(Outcome{})-C.sizeof_adclick_outcome]
	_ = equal[unsafe.Offsetof(Outcome{}.structSize)-unsafe.Offsetof(C.adclick_outcome{}.struct_size)]
	_ = equal[unsafe.Offsetof(Outcome{}.Winners)-unsafe.Offsetof(C.adclick_outcome{}.n_winners)]
	_ = equal[unsafe.Offsetof(Outcome{}.Scored)-unsafe.Offsetof(C.adclick_outcome{}.n_scored)]
	_ = equal[unsafe.Offsetof(Outcome{}.Cut)-unsafe.Offsetof(C.adclick_outcome{}.n_cut)]
	_ = equal[unsafe.Offsetof(Outcome{}.Missing)-unsafe.Offsetof(C.adclick_outcome{}.n_missing)]
	_ = equal[unsafe.Offsetof(Outcome{}.Precision)-unsafe.Offsetof(C.adclick_outcome{}.precision)]
	_ = equal[unsafe.Offsetof(Outcome{}.Generation)-unsafe.Offsetof(C.adclick_outcome{}.generation)]
	_ = equal[unsafe.Offsetof(Outcome{}.WrongSide)-unsafe.Offsetof(C.adclick_outcome{}.n_wrong_side)]
	_ = equal[unsafe.Offsetof(Outcome{}.reserved)-unsafe.Offsetof(C.adclick_outcome{}.reserved)]
)

var (
	_ = equal[unsafe.Sizeof(UpsertResult{})-C.sizeof_adclick_upsert_result]
	_ = equal[unsafe.Offsetof(UpsertResult{}.structSize)-unsafe.Offsetof(C.adclick_upsert_result{}.struct_size)]
	_ = equal[unsafe.Offsetof(UpsertResult{}.Applied)-unsafe.Offsetof(C.adclick_upsert_result{}.n_applied)]
	_ = equal[unsafe.Offsetof(UpsertResult{}.Stale)-unsafe.Offsetof(C.adclick_upsert_result{}.n_stale)]
	_ = equal[unsafe.Offsetof(UpsertResult{}.Evicted)-unsafe.Offsetof(C.adclick_upsert_result{}.n_evicted)]
)

var (
	_ = equal[unsafe.Sizeof(TableInfo{})-C.sizeof_adclick_table_info]
	_ = equal[unsafe.Offsetof(TableInfo{}.structSize)-unsafe.Offsetof(C.adclick_table_info{}.struct_size)]
	_ = equal[unsafe.Offsetof(TableInfo{}.Shards)-unsafe.Offsetof(C.adclick_table_info{}.n_shards)]
	_ = equal[unsafe.Offsetof(TableInfo{}.Rows)-unsafe.Offsetof(C.adclick_table_info{}.rows)]
	_ = equal[unsafe.Offsetof(TableInfo{}.BuiltUS)-unsafe.Offsetof(C.adclick_table_info{}.built_us)]
	_ = equal[unsafe.Offsetof(TableInfo{}.FreshForS)-unsafe.Offsetof(C.adclick_table_info{}.fresh_for_s)]
	_ = equal[unsafe.Offsetof(TableInfo{}.OverlayRows)-unsafe.Offsetof(C.adclick_table_info{}.overlay_rows)]
	_ = equal[unsafe.Offsetof(TableInfo{}.OverlayCapacity)-unsafe.Offsetof(C.adclick_table_info{}.overlay_capacity)]
	_ = equal[unsafe.Offsetof(TableInfo{}.OverlayEvictions)-unsafe.Offsetof(C.adclick_table_info{}.overlay_evictions)]
	_ = equal[unsafe.Offsetof(TableInfo{}.OverlayBytes)-unsafe.Offsetof(C.adclick_table_info{}.overlay_bytes)]
)

var (
	_ = equal[unsafe.Sizeof(AdCache{})-C.sizeof_adclick_ad_cache]
	_ = equal[unsafe.Offsetof(AdCache{}.structSize)-unsafe.Offsetof(C.adclick_ad_cache{}.struct_size)]
	_ = equal[unsafe.Offsetof(AdCache{}.State)-unsafe.Offsetof(C.adclick_ad_cache{}.state)]
	_ = equal[unsafe.Offsetof(AdCache{}.Ads)-unsafe.Offsetof(C.adclick_ad_cache{}.n_ads)]
	_ = equal[unsafe.Offsetof(AdCache{}.Bytes)-unsafe.Offsetof(C.adclick_ad_cache{}.bytes)]
	_ = equal[unsafe.Offsetof(AdCache{}.BytesNeeded)-unsafe.Offsetof(C.adclick_ad_cache{}.bytes_needed)]
)

var (
	_ = equal[unsafe.Sizeof(AuctionOptions{})-C.sizeof_adclick_auction_options]
	_ = equal[unsafe.Offsetof(AuctionOptions{}.structSize)-unsafe.Offsetof(C.adclick_auction_options{}.struct_size)]
	_ = equal[unsafe.Offsetof(AuctionOptions{}.Slots)-unsafe.Offsetof(C.adclick_auction_options{}.n_slots)]
	_ = equal[unsafe.Offsetof(AuctionOptions{}.Squash)-unsafe.Offsetof(C.adclick_auction_options{}.squash)]
	_ = equal[unsafe.Offsetof(AuctionOptions{}.ScoreFloorMicros)-unsafe.Offsetof(C.adclick_auction_options{}.score_floor_micros)]
	_ = equal[unsafe.Offsetof(AuctionOptions{}.ReserveMicros)-unsafe.Offsetof(C.adclick_auction_options{}.reserve_micros)]
)
