/* Sizes, offsets and numbers of adclick.h by name. A test holds the constants of the Java classes against them. */

#ifndef ADCLICK_JNI_LAYOUT_H
#define ADCLICK_JNI_LAYOUT_H

#include <adclick.h>

/* What a call gives back besides its arrays. */
typedef struct adclick_frame {
  adclick_error error;
  adclick_outcome outcome;
  union {
    uint64_t number; /* or a handle */
    adclick_upsert_result upserted;
    adclick_table_info table;
    adclick_ad_cache cache;
  } result;
} adclick_frame;

#define SIZE(type) {#type, sizeof(type)}
#define AT(type, field) {#type "." #field, offsetof(type, field)}
#define NUMBER(name) {#name, (int64_t)(int32_t)name}

static const struct {
  const char *name;
  int64_t value;
} layout[] = {
    SIZE(adclick_value),
    AT(adclick_value, feature),
    AT(adclick_value, number),
    AT(adclick_value, id),
    SIZE(adclick_row),
    AT(adclick_row, key),
    AT(adclick_row, first_value),
    AT(adclick_row, n_values),
    SIZE(adclick_request),
    AT(adclick_request, request_id),
    AT(adclick_request, user_key),
    AT(adclick_request, time_us),
    AT(adclick_request, utc_offset_s),
    AT(adclick_request, n_slots),
    AT(adclick_request, placement),
    AT(adclick_request, deadline_us),
    SIZE(adclick_candidate),
    AT(adclick_candidate, ad_key),
    AT(adclick_candidate, advertiser_key),
    AT(adclick_candidate, bid_micros),
    AT(adclick_candidate, reserve_micros),
    AT(adclick_candidate, bid_kind),
    AT(adclick_candidate, first_value),
    AT(adclick_candidate, n_values),
    AT(adclick_candidate, modifier),
    AT(adclick_candidate, quality),
    SIZE(adclick_winner),
    AT(adclick_winner, candidate),
    AT(adclick_winner, slot),
    AT(adclick_winner, pctr),
    AT(adclick_winner, pcvr),
    AT(adclick_winner, ecpm_micros),
    AT(adclick_winner, price_micros),
    AT(adclick_winner, price_bound),
    AT(adclick_winner, runner_up),
    AT(adclick_winner, propensity),
    AT(adclick_winner, impression_id),
    SIZE(adclick_outcome),
    AT(adclick_outcome, n_winners),
    AT(adclick_outcome, n_scored),
    AT(adclick_outcome, n_cut),
    AT(adclick_outcome, n_missing),
    AT(adclick_outcome, precision),
    AT(adclick_outcome, generation),
    AT(adclick_error, message),
    AT(adclick_upsert_result, n_applied),
    AT(adclick_upsert_result, n_stale),
    AT(adclick_upsert_result, n_evicted),
    AT(adclick_table_info, n_shards),
    AT(adclick_table_info, rows),
    AT(adclick_table_info, built_us),
    AT(adclick_table_info, fresh_for_s),
    AT(adclick_table_info, overlay_rows),
    AT(adclick_table_info, overlay_capacity),
    AT(adclick_table_info, overlay_evictions),
    AT(adclick_table_info, overlay_bytes),
    AT(adclick_ad_cache, state),
    AT(adclick_ad_cache, n_ads),
    AT(adclick_ad_cache, bytes),
    AT(adclick_ad_cache, bytes_needed),
    SIZE(adclick_auction_options),
    AT(adclick_auction_options, n_slots),
    AT(adclick_auction_options, squash),
    AT(adclick_auction_options, score_floor_micros),
    AT(adclick_auction_options, reserve_micros),
    SIZE(adclick_frame),
    AT(adclick_frame, error),
    AT(adclick_frame, outcome),
    AT(adclick_frame, result),
    NUMBER(ADCLICK_OK),
    NUMBER(ADCLICK_INVALID_ARGUMENT),
    NUMBER(ADCLICK_BAD_STRUCT_SIZE),
    NUMBER(ADCLICK_CAPACITY_EXCEEDED),
    NUMBER(ADCLICK_INVALID_VALUE),
    NUMBER(ADCLICK_CLOSED),
    NUMBER(ADCLICK_IO),
    NUMBER(ADCLICK_CORRUPT),
    NUMBER(ADCLICK_UNSUPPORTED),
    NUMBER(ADCLICK_GOLDEN_MISMATCH),
    NUMBER(ADCLICK_NO_PREVIOUS),
    NUMBER(ADCLICK_BUSY),
    NUMBER(ADCLICK_BUFFER_TOO_SMALL),
    NUMBER(ADCLICK_INTERNAL),
    NUMBER(ADCLICK_REASON_WON),
    NUMBER(ADCLICK_REASON_OUTRANKED),
    NUMBER(ADCLICK_REASON_BELOW_RESERVE),
    NUMBER(ADCLICK_REASON_INVALID_BID),
    NUMBER(ADCLICK_REASON_BID_TOO_LARGE),
    NUMBER(ADCLICK_REASON_INVALID_PCTR),
    NUMBER(ADCLICK_REASON_INVALID_PCVR),
    NUMBER(ADCLICK_REASON_MISSING_PCVR),
    NUMBER(ADCLICK_REASON_INVALID_MODIFIER),
    NUMBER(ADCLICK_REASON_INVALID_QUALITY),
    NUMBER(ADCLICK_REASON_INVALID_RESERVE),
    NUMBER(ADCLICK_REASON_BELOW_SCORE_FLOOR),
    NUMBER(ADCLICK_REASON_SCORE_OUT_OF_RANGE),
    NUMBER(ADCLICK_REASON_UNKNOWN_BID_KIND),
    NUMBER(ADCLICK_REASON_CUT),
    NUMBER(ADCLICK_BID_KIND_CPM),
    NUMBER(ADCLICK_BID_KIND_CPC),
    NUMBER(ADCLICK_BID_KIND_CPA),
    NUMBER(ADCLICK_BID_KIND_OCPM),
    NUMBER(ADCLICK_PRICE_BOUND_NEXT_SCORE),
    NUMBER(ADCLICK_PRICE_BOUND_RESERVE),
    NUMBER(ADCLICK_PRICE_BOUND_BID),
    NUMBER(ADCLICK_PRECISION_EXACT),
    NUMBER(ADCLICK_PRECISION_BF16),
    NUMBER(ADCLICK_PRECISION_INT8),
    NUMBER(ADCLICK_PRECISION_AUCTION_EXACT),
    NUMBER(ADCLICK_AD_CACHE_STATE_OFF),
    NUMBER(ADCLICK_AD_CACHE_STATE_ON),
    NUMBER(ADCLICK_AD_CACHE_STATE_TOO_LARGE),
    NUMBER(ADCLICK_AD_CACHE_STATE_USELESS),
    NUMBER(ADCLICK_AD_CACHE_STATE_NOT_EXACT),
    NUMBER(ADCLICK_ERROR_MESSAGE),
    NUMBER(ADCLICK_ABI_VERSION),
    NUMBER(ADCLICK_COPY),
    NUMBER(ADCLICK_NO_OVERLAYS),
    NUMBER(ADCLICK_LAZY_TABLES),
    NUMBER(ADCLICK_UPSERT_INCREMENT),
    NUMBER(ADCLICK_UPSERT_WHOLE_ROW),
};

#undef SIZE
#undef AT
#undef NUMBER

enum { LAYOUT_ENTRIES = sizeof layout / sizeof layout[0] };

#endif
