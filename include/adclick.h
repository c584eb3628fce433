/* libadclick: click prediction, calibration and the ad auction inside the ad server's own process.
 *
 * Conventions
 *  - A method is its handle's name and a verb; inputs come before outputs; outputs are written only on success.
 *  - Every call returns an adclick_status: 0, or a negative number that is never renumbered. A failing call fills the
 *    adclick_error that the caller passes (it may be NULL). There is no thread-local last error.
 *  - A struct that begins with struct_size is filled by its sizeof; 0 in a field means its default. Programs built with
 *    an older header run on a newer library.
 *  - adclick_engine is shared by all threads. adclick_scorer belongs to one caller at a time and may move between
 *    threads. adclick_scorer_score, _score_dense and _decide allocate nothing, take no lock and make no system call.
 *  - Arrays travel beside the structs; an array of no entries may be NULL. Names and paths are bytes with a length.
 *  - After fork() the child may go on scoring with what it has, but the following thread is the parent's; open the
 *    engine in the child if it is to follow. Do not dlclose the library while an engine follows.
 *
 * Generated from the sources by cbindgen; `make header` renews it. */


#ifndef ADCLICK_H
#define ADCLICK_H

#include <stddef.h>
#include <stdint.h>


// Copy the files into memory of the process instead of mapping them: a file that is truncated while it is mapped kills
// the process.
#define ADCLICK_COPY 1

// The bytes of `adclick_error.message`.
#define ADCLICK_ERROR_MESSAGE 504

// The version of the ABI that this header describes. A library with a larger one still runs programs built with it.
#define ADCLICK_ABI_VERSION 1

// `runner_up` of a winner that nobody was behind.
#define ADCLICK_NO_CANDIDATE UINT32_MAX

// What a call returned. 0 is success, errors are negative and never renumbered.
//
enum adclick_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Done.
  ADCLICK_OK = 0,
  // An argument is NULL, out of range, or contradicts another one.
  ADCLICK_INVALID_ARGUMENT = -1,
  // A sized struct has a size that this library does not know, or non-zero bytes past what it knows.
  ADCLICK_BAD_STRUCT_SIZE = -2,
  // More candidates than the scorer was sized for.
  ADCLICK_CAPACITY_EXCEEDED = -3,
  // An input value is NaN or infinite.
  ADCLICK_INVALID_VALUE = -4,
  // The engine was closed.
  ADCLICK_CLOSED = -5,
  // A file or directory cannot be opened or read.
  ADCLICK_IO = -6,
  // A file is damaged: checksum, length, offset, count or content.
  ADCLICK_CORRUPT = -7,
  // A file needs a newer library, or describes something that this one does not do.
  ADCLICK_UNSUPPORTED = -8,
  // The model's golden requests give other results here than where it was packed.
  ADCLICK_GOLDEN_MISMATCH = -9,
  // There is no earlier generation to roll back to.
  ADCLICK_NO_PREVIOUS = -10,
  // The scorer is in use by another call.
  ADCLICK_BUSY = -11,
  // The caller's buffer is too small.
  ADCLICK_BUFFER_TOO_SMALL = -12,
  // A bug in the library: a panic was caught at the boundary.
  ADCLICK_INTERNAL = -100,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum adclick_status adclick_status;
#else
typedef int32_t adclick_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What became of a candidate, as a number that is never renumbered.
enum adclick_reason
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // It has a place.
  ADCLICK_REASON_WON = 0,
  // Eligible, but every place went to candidates ahead of it.
  ADCLICK_REASON_OUTRANKED = 1,
  // The bid, in billed units, is under the candidate's reserve.
  ADCLICK_REASON_BELOW_RESERVE = 2,
  // The bid is zero, negative, NaN or infinite.
  ADCLICK_REASON_INVALID_BID = 3,
  // The bid is over 2^53 micros.
  ADCLICK_REASON_BID_TOO_LARGE = 4,
  // pCTR is needed and is NaN, not above 0, or above 1.
  ADCLICK_REASON_INVALID_PCTR = 5,
  // pCVR is needed and is not above 0, or above 1.
  ADCLICK_REASON_INVALID_PCVR = 6,
  // pCVR is needed and is missing (NaN).
  ADCLICK_REASON_MISSING_PCVR = 7,
  // The bid modifier is zero, negative, NaN or infinite.
  ADCLICK_REASON_INVALID_MODIFIER = 8,
  // The quality is zero, negative, NaN or infinite.
  ADCLICK_REASON_INVALID_QUALITY = 9,
  // The reserve is negative, NaN or infinite.
  ADCLICK_REASON_INVALID_RESERVE = 10,
  // The rank score is under the policy's score floor.
  ADCLICK_REASON_BELOW_SCORE_FLOOR = 11,
  // The rank score over- or underflows f64 arithmetic.
  ADCLICK_REASON_SCORE_OUT_OF_RANGE = 12,
  // The bid's kind is not one that this library knows.
  ADCLICK_REASON_UNKNOWN_BID_KIND = 13,
  // It was not scored before the deadline, so it took no part.
  ADCLICK_REASON_CUT = 14,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum adclick_reason adclick_reason;
#else
typedef uint32_t adclick_reason;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a bid pays for.
enum adclick_bid_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Per 1000 impressions.
  ADCLICK_BID_KIND_CPM = 0,
  // Per click.
  ADCLICK_BID_KIND_CPC = 1,
  // Per conversion.
  ADCLICK_BID_KIND_CPA = 2,
  // Bid per conversion, billed per 1000 impressions.
  ADCLICK_BID_KIND_OCPM = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum adclick_bid_kind adclick_bid_kind;
#else
typedef uint32_t adclick_bid_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What decided a winner's price.
enum adclick_price_bound
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // The next candidate's score.
  ADCLICK_PRICE_BOUND_NEXT_SCORE = 0,
  // The reserve.
  ADCLICK_PRICE_BOUND_RESERVE = 1,
  // The candidate's own bid.
  ADCLICK_PRICE_BOUND_BID = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum adclick_price_bound adclick_price_bound;
#else
typedef uint32_t adclick_price_bound;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// The arithmetic that produced the outputs.
enum adclick_precision
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // fp16 weights, f32 sums.
  ADCLICK_PRECISION_EXACT = 0,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum adclick_precision adclick_precision;
#else
typedef uint32_t adclick_precision;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// An engine: owns the live generation. Shared by all threads; every call on it may be made at any time from any
// thread. Using a closed one gives ADCLICK_CLOSED.
typedef struct adclick_engine adclick_engine;

// A scorer: one caller's memory, sized once. Belongs to one caller at a time and may move between threads; a call
// on a scorer that another call is using gives ADCLICK_BUSY. Using a freed one is undefined.
typedef struct adclick_scorer adclick_scorer;

// A generation that was opened and checked and is not live yet. Belongs to one caller; used up by
// `adclick_staged_activate` or `adclick_staged_discard`.
typedef struct adclick_staged adclick_staged;

// The rules of an auction; 0 in a field is its default. 56 bytes.
typedef struct adclick_auction_options {
  // `sizeof(adclick_auction_options)`.
  uint32_t struct_size;
  // Places to fill; 0 = 1.
  uint32_t n_slots;
  // The exponent of the event's probability in the rank score, in (0, 1]; 0 = 1.
  double squash;
  // The least rank score per 1000 impressions, in micros.
  int64_t score_floor_micros;
  // The reserve of candidates without one of their own, by bid kind (CPM, CPC, CPA, oCPM), in micros per billed
  // event.
  int64_t reserve_micros[4];
} adclick_auction_options;

// One candidate ad. 56 bytes.
typedef struct adclick_candidate {
  // The ad's key in ad tables; breaks ties (the smaller wins).
  uint64_t ad_key;
  // The advertiser's key in cross tables.
  uint64_t advertiser_key;
  // The bid for one event of its kind (CPM: 1000 impressions; oCPM: a conversion) in millionths of the currency unit.
  int64_t bid_micros;
  // The least price of one billed event (CPM and oCPM: 1000 impressions); 0 = the policy's.
  int64_t reserve_micros;
  // An `adclick_bid_kind`.
  uint32_t bid_kind;
  // The first of this candidate's values in the candidates' array of values.
  uint32_t first_value;
  // How many values this candidate has.
  uint32_t n_values;
  // Multiplies the bid in ranking; 0 = 1.
  float modifier;
  // Multiplies the rank score; 0 = 1.
  float quality;
  // 0.
  uint32_t reserved;
} adclick_candidate;

// One winner. 64 bytes.
typedef struct adclick_winner {
  // Index in the array of candidates.
  uint32_t candidate;
  // The place, from 0.
  uint32_t slot;
  // Calibrated P(click | impression).
  float pctr;
  // Calibrated P(conversion | click); NaN when the model has no such head.
  float pcvr;
  // Expected value of 1000 impressions at the bid, in millionths of the currency unit.
  int64_t ecpm_micros;
  // The price of one billed event (1000 impressions for CPM and oCPM).
  int64_t price_micros;
  // An `adclick_price_bound`.
  uint32_t price_bound;
  // The eligible candidate next in rank, placed or not; `ADCLICK_NO_CANDIDATE` when nobody was behind.
  uint32_t runner_up;
  // The probability with which this candidate was put in this place; 1 when nothing is random.
  double propensity;
  // Identifies this impression in logs: derived from the request id and the slot.
  uint64_t impression_id;
  // 0.
  uint64_t reserved;
} adclick_winner;

// Filled by a call that fails, if the caller passes one; untouched by one that succeeds. 512 bytes.
typedef struct adclick_error {
  // `sizeof(adclick_error)`, set by the caller. With less room the message is cut.
  uint32_t struct_size;
  // An `adclick_status`.
  int32_t status;
  // UTF-8, ends with a 0 byte.
  char message[ADCLICK_ERROR_MESSAGE];
} adclick_error;

// How an engine is opened. Zero everything but `struct_size` for the defaults. 32 bytes.
typedef struct adclick_engine_options {
  // `sizeof(adclick_engine_options)`.
  uint32_t struct_size;
  // `ADCLICK_COPY` or 0.
  uint32_t flags;
  // How much larger than the first model later ones may be, 1 to 1000; 0 = 2. Scorers get that much room.
  float headroom;
  // Look at CURRENT every so many milliseconds on a thread of the library's own ("adclick-follow") and go to the
  // bundle it names; 0 = never, only when `adclick_engine_poll` is called.
  uint32_t follow_ms;
  // The kernel by name ("portable", "avx2", "avx512"), closed with 0; empty = the environment's ADCLICK_KERNEL, or the
  // best that this CPU has.
  char kernel[16];
} adclick_engine_options;

// What a scorer is sized for. Zero everything but `struct_size` for the defaults. 16 bytes.
typedef struct adclick_scorer_options {
  // `sizeof(adclick_scorer_options)`.
  uint32_t struct_size;
  // No flag is defined yet: 0.
  uint32_t flags;
  // Candidates of one request, 1 to 1,048,576; 0 = 1024.
  uint32_t max_candidates;
  // 0.
  uint32_t reserved;
} adclick_scorer_options;

// One ad request. 72 bytes.
typedef struct adclick_request {
  // `sizeof(adclick_request)`.
  uint32_t struct_size;
  // No flag is defined yet: 0.
  uint32_t flags;
  // The caller's id of the request; seeds what is random and ends up in logs.
  uint64_t request_id;
  // The user's key in user tables; 0 = unknown.
  uint64_t user_key;
  // When the request was made: microseconds since 1970-01-01 00:00 UTC.
  int64_t time_us;
  // The user's offset from UTC in seconds, -86400 to 86400.
  int32_t utc_offset_s;
  // Entries in the request's array of values.
  uint32_t n_values;
  // Entries in the array of candidates.
  uint32_t n_candidates;
  // Entries in the candidates' array of values.
  uint32_t n_candidate_values;
  // Places to fill; 0 = 1.
  uint32_t n_slots;
  // The caller's number of the placement.
  uint32_t placement;
  // Time that the call may take, in microseconds; 0 = no limit.
  uint32_t deadline_us;
  // 0.
  uint32_t reserved;
} adclick_request;

// One raw value of a feature. 16 bytes. A repeated feature is a multi-valued one.
typedef struct adclick_value {
  // The handle that `adclick_engine_feature` gave for the feature's input name.
  uint32_t feature;
  // The number of a number feature or vector position; of a multi-valued category its weight, 0 = 1.
  float number;
  // The id of a category (`adclick_hash` of a string, or the integer itself); the position in a vector.
  uint64_t id;
} adclick_value;

// What a call did. 32 bytes.
typedef struct adclick_outcome {
  // `sizeof(adclick_outcome)`, set by the caller.
  uint32_t struct_size;
  // Winners written.
  uint32_t n_winners;
  // Candidates scored.
  uint32_t n_scored;
  // Candidates that the deadline cut off.
  uint32_t n_cut;
  // Feature values that were missing or unknown and took their default, and values that the model has no use for.
  uint32_t n_missing;
  // An `adclick_precision`.
  uint32_t precision;
  // The generation that the whole call saw.
  uint64_t generation;
} adclick_outcome;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Runs one auction on candidates whose probabilities the caller has, by `options`.
//
// `pctr` has `n` probabilities; `pcvr` has `n` with NaN where one is missing, or is NULL. `winners` has room for
// `max_winners` entries, at least min(n_slots, n). `reasons` takes `n` values of `adclick_reason`, or is NULL. On success
// `*n_winners` are written; their `impression_id` is 0.
// With a scorer its memory is used and nothing is allocated; with NULL the call allocates 24 bytes a candidate.
// Errors: ADCLICK_INVALID_ARGUMENT, ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CAPACITY_EXCEEDED, ADCLICK_BUFFER_TOO_SMALL,
// ADCLICK_BUSY. A bad bid is no error: it gets its reason.
//
// # Safety
// The arrays have the entries that `n` and `max_winners` say; sized structs begin with their size.
int32_t adclick_auction_run(struct adclick_scorer *scorer,
                            const struct adclick_auction_options *options,
                            const struct adclick_candidate *candidates,
                            const float *pctr,
                            const float *pcvr,
                            uint32_t n,
                            struct adclick_winner *winners,
                            uint32_t max_winners,
                            uint32_t *reasons,
                            uint32_t *n_winners,
                            struct adclick_error *error);

// A reason in words, such as "below_reserve"; "unknown reason" for other numbers. Static.
const char *adclick_reason_name(uint32_t reason);

// Opens an engine on `path`: a bundle directory, or a directory that holds bundles and CURRENT. The bundle is checked
// whole (manifest, checksums, every shape and count, golden requests) before the call returns.
//
// `options` may be NULL. On success `*out` is the engine; close it with `adclick_engine_close`.
// Errors: ADCLICK_IO, ADCLICK_CORRUPT, ADCLICK_UNSUPPORTED, ADCLICK_GOLDEN_MISMATCH, ADCLICK_INVALID_ARGUMENT,
// ADCLICK_BAD_STRUCT_SIZE. Any thread; blocks on files.
//
// # Safety
// `path` has `path_len` bytes, `options` and `error` begin with their size, `out` is writable.
int32_t adclick_engine_open(const uint8_t *path,
                            size_t path_len,
                            const struct adclick_engine_options *options,
                            struct adclick_engine **out,
                            struct adclick_error *error);

// Closes an engine: no request begins any more (scorers answer ADCLICK_CLOSED), requests under way end well, then its
// memory and maps go. Scorers stay the caller's to free. NULL does nothing. Closing twice gives ADCLICK_CLOSED. Any
// thread; waits for the following thread.
int32_t adclick_engine_close(struct adclick_engine *engine);

// Opens and checks a bundle without making it live; what is live stays as it is, also on failure. On success `*out` is
// the staged generation, to be activated or discarded.
// Errors: as `adclick_engine_open`, and ADCLICK_CLOSED. Any thread; blocks on files.
//
// # Safety
// `path` has `path_len` bytes, `error` begins with its size, `out` is writable.
int32_t adclick_engine_stage(struct adclick_engine *engine_,
                             const uint8_t *path,
                             size_t path_len,
                             struct adclick_staged **out,
                             struct adclick_error *error);

// Makes a staged generation live by one pointer swap: requests that begin from now on see it, requests under way end
// with the one that they began with. The one before is kept for `adclick_engine_rollback`. Uses `staged` up, whatever
// the result. `generation` may be NULL.
// Errors: ADCLICK_CLOSED. Any thread; takes microseconds, plus freeing what was replaced earlier.
//
// # Safety
// `generation` is NULL or writable, `error` begins with its size.
int32_t adclick_staged_activate(struct adclick_staged *staged,
                                uint64_t *generation,
                                struct adclick_error *error);

// Drops a staged generation. NULL does nothing; a second time gives ADCLICK_CLOSED. Any thread.
int32_t adclick_staged_discard(struct adclick_staged *staged);

// Goes back to the generation before the last activation. One earlier generation is kept, and a rollback uses it up.
// `generation` may be NULL.
// Errors: ADCLICK_NO_PREVIOUS, ADCLICK_CLOSED. Any thread; takes microseconds.
//
// # Safety
// `generation` is NULL or writable, `error` begins with its size.
int32_t adclick_engine_rollback(struct adclick_engine *engine_,
                                uint64_t *generation,
                                struct adclick_error *error);

// Looks at CURRENT now: when it names another bundle than at the last look, stages and activates it and sets
// `*generation`, otherwise sets it to 0. Also frees replaced generations that no request holds any more. For callers
// that drive the following themselves. `generation` may be NULL.
// Errors: as `adclick_engine_stage`; ADCLICK_INVALID_ARGUMENT when the engine was opened on a bundle itself.
//
// # Safety
// `generation` is NULL or writable, `error` begins with its size.
int32_t adclick_engine_poll(struct adclick_engine *engine_,
                            uint64_t *generation,
                            struct adclick_error *error);

// Why the last look at CURRENT failed: its status, with the message in `error`; ADCLICK_OK when it did not fail.
//
// # Safety
// `error` is NULL or begins with its size.
int32_t adclick_engine_follow_error(const struct adclick_engine *engine_,
                                    struct adclick_error *error);

// The id of the live generation: the hash of its bundle's content, never 0.
// Errors: ADCLICK_CLOSED.
//
// # Safety
// `generation` is writable, `error` begins with its size.
int32_t adclick_engine_generation(const struct adclick_engine *engine_,
                                  uint64_t *generation,
                                  struct adclick_error *error);

// The handle of a feature's input name, for `adclick_value.feature`. The same name has the same handle for the engine's
// life, whichever generation is live; get handles once, at start. A name that no model uses gets one too: its values
// are ignored, and counted in `n_missing`, until a model does. Handles are never 0.
// Errors: ADCLICK_INVALID_ARGUMENT (not UTF-8, or not 1 to 255 bytes), ADCLICK_CAPACITY_EXCEEDED (65,536 names),
// ADCLICK_CLOSED. Any thread; takes a lock.
//
// # Safety
// `name` has `name_len` bytes, `handle` is writable, `error` begins with its size.
int32_t adclick_engine_feature(struct adclick_engine *engine_,
                               const uint8_t *name,
                               size_t name_len,
                               uint32_t *handle,
                               struct adclick_error *error);

// The name of the kernel that an engine uses ("avx512", "avx2", "portable"), or with NULL of the best one that this CPU
// has; "" for a closed engine. Static.
const char *adclick_kernel(const struct adclick_engine *engine_);

// The id of a category string, for `adclick_value.id`: XXH3-64 with seed 0 of its bytes. An integer category is its own
// id. NULL or a length of 0 gives the id of the empty string. Any thread; allocates nothing.
//
// # Safety
// `bytes` has `len` readable bytes.
uint64_t adclick_hash(const uint8_t *bytes,
                      size_t len);

// Makes a scorer for an engine. All memory that its requests need is allocated here. `options` may be NULL. On success
// `*out` is the scorer; free it with `adclick_scorer_free`, before or after the engine is closed.
// Errors: ADCLICK_INVALID_ARGUMENT, ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CLOSED. Any thread.
//
// # Safety
// `options` and `error` begin with their size, `out` is writable.
int32_t adclick_scorer_new(struct adclick_engine *engine_,
                           const struct adclick_scorer_options *options,
                           struct adclick_scorer **out,
                           struct adclick_error *error);

// Frees a scorer. NULL does nothing. A scorer in use by another call gives ADCLICK_BUSY and is not freed.
//
// # Safety
// `scorer` is NULL or came from `adclick_scorer_new` and was not freed.
int32_t adclick_scorer_free(struct adclick_scorer *scorer);

// Calibrated probabilities of all candidates of a request.
//
// `values`: `request->n_values` entries; `candidates`: `request->n_candidates`; `candidate_values`:
// `request->n_candidate_values`. An array of no entries may be NULL. `pctr` takes `n_candidates` floats; `pcvr` as many,
// or is NULL when it is not wanted (without a pCVR head it is filled with NaN). `outcome` may be NULL.
// Errors: ADCLICK_INVALID_ARGUMENT, ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CAPACITY_EXCEEDED, ADCLICK_INVALID_VALUE (a number is
// NaN or infinite), ADCLICK_CLOSED, ADCLICK_BUSY; then nothing was written but `error`. Allocates nothing, takes no
// lock, makes no system call.
//
// # Safety
// The arrays have the entries that the request says; sized structs begin with their size.
int32_t adclick_scorer_score(struct adclick_scorer *scorer,
                             const struct adclick_request *request,
                             const struct adclick_value *values,
                             const struct adclick_candidate *candidates,
                             const struct adclick_value *candidate_values,
                             float *pctr,
                             float *pcvr,
                             struct adclick_outcome *outcome,
                             struct adclick_error *error);

// Calibrated probabilities of ready inputs: `x` has `n` rows of `width` floats, row by row, columns in the order in
// which the schema declares its features (`adclick inspect` prints it). Outputs as `adclick_scorer_score`.
// Errors: as `adclick_scorer_score`; ADCLICK_INVALID_ARGUMENT also when `width` is not the model's, or the model has a
// wide part (ready inputs cannot carry its ids).
//
// # Safety
// The arrays have the entries that `n` and `width` say; sized structs begin with their size.
int32_t adclick_scorer_score_dense(struct adclick_scorer *scorer,
                                   const float *x,
                                   uint32_t n,
                                   uint32_t width,
                                   float *pctr,
                                   float *pcvr,
                                   struct adclick_outcome *outcome,
                                   struct adclick_error *error);

// The whole path: scores the candidates, calibrates, runs the auction by the generation's policy, and writes the winners,
// best slot first.
//
// Inputs as `adclick_scorer_score`. `winners` has room for `max_winners` entries, at least min(n_slots, n_candidates).
// `reasons` takes for each candidate an `adclick_reason`, or is NULL when it is not wanted. `outcome` may be NULL; it
// says how many winners there are, so most callers want it. With `deadline_us`, candidates not scored in time are
// cut: they take no part and are counted.
// Errors: as `adclick_scorer_score`. Allocates nothing, takes no lock, makes no system call.
//
// # Safety
// The arrays have the entries that the request says; sized structs begin with their size.
int32_t adclick_scorer_decide(struct adclick_scorer *scorer,
                              const struct adclick_request *request,
                              const struct adclick_value *values,
                              const struct adclick_candidate *candidates,
                              const struct adclick_value *candidate_values,
                              struct adclick_winner *winners,
                              uint32_t max_winners,
                              uint32_t *reasons,
                              struct adclick_outcome *outcome,
                              struct adclick_error *error);

// The version of the ABI that the linked library has; compare with `ADCLICK_ABI_VERSION`.
uint32_t adclick_abi_version(void);

// The library's version, such as "0.1.0". Static.
const char *adclick_version(void);

// A status in words, such as "ADCLICK_CLOSED"; "unknown status" for other numbers. Static.
const char *adclick_status_name(int32_t status);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ADCLICK_H */

/* The layouts are frozen. */
#if defined(__cplusplus) || (defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L)
#ifdef __cplusplus
#define ADCLICK_ASSERT_SIZE(type, size) static_assert(sizeof(type) == (size), #type)
#else
#define ADCLICK_ASSERT_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)
#endif
ADCLICK_ASSERT_SIZE(adclick_value, 16);
ADCLICK_ASSERT_SIZE(adclick_request, 72);
ADCLICK_ASSERT_SIZE(adclick_candidate, 56);
ADCLICK_ASSERT_SIZE(adclick_winner, 64);
ADCLICK_ASSERT_SIZE(adclick_outcome, 32);
ADCLICK_ASSERT_SIZE(adclick_error, 512);
ADCLICK_ASSERT_SIZE(adclick_engine_options, 32);
ADCLICK_ASSERT_SIZE(adclick_scorer_options, 16);
ADCLICK_ASSERT_SIZE(adclick_auction_options, 56);
#endif
