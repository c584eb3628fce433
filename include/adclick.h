/* libadclick: click prediction, calibration and the ad auction inside the ad server's own process.
 *
 * Conventions
 *  - A method is its handle's name and a verb; inputs come before outputs.
 *  - Every call returns an adclick_status: 0, or a negative number that is never renumbered. A failing call fills the
 *    adclick_error that the caller passes (it may be NULL). There is no thread-local last error.
 *  - Outputs are written only on success: after a failure every output, handles included, is what it was before. Only
 *    `error` is written on failure, and on failure alone. Initialise handles with NULL.
 *  - Set struct_size, where a struct begins with it, to the struct's sizeof. 0 in any other field means its default.
 *  - adclick_engine is shared by all threads. adclick_scorer belongs to one caller at a time and may move between
 *    threads. adclick_scorer_score, _score_dense and _decide allocate nothing, take no lock and make no system call.
 *  - Arrays travel beside the structs and have the entries that their counts say; an array of no entries may be NULL.
 *    Arrays and structs are aligned as their C types are. An output overlaps no other argument, and nobody else touches
 *    the arguments during a call. Nothing that the caller passes is kept after the call.
 *  - Names and paths are bytes with a length; they need no 0 at the end. Handles are the only memory that the caller has to
 *    give back, each with its own call; returned texts are static.
 *  - Money is in micros: millionths of the currency unit, in 64-bit integers. Times are in the units that the names say.
 *  - The library installs no signal handler, and no failure inside it unwinds or ends the process: a bug that it notices
 *    comes back as ADCLICK_INTERNAL. Two things do end the process: a mapped file that is truncated (ADCLICK_COPY survives that), and
 *    an allocation that the system refuses while an engine is opened, a bundle staged or rows are written (memory for
 *    scorers, `overlay_rows` and the ad cache gives ADCLICK_CAPACITY_EXCEEDED instead). Requests allocate nothing.
 *  - fork(): the child may score and decide with the scorers that it inherited (one that another thread was using stays
 *    busy), and open engines of its own. The following thread and the log's exist only in the parent: in the child of a process whose
 *    engine follows (follow_ms), or that forked while another thread was in a call other than score and decide, make no
 *    other call on inherited handles. They go with the process.
 *  - dlclose(): close all engines and free all scorers first; no thread of the library is left then. After an engine has
 *    followed (follow_ms) or kept a log with its thread the library stays mapped all the same: a thread of its own has used thread-local storage, and
 *    glibc keeps the library of such threads. A program that loads and unloads it repeatedly loses about 100 bytes each time,
 *    which the loader keeps.
 *  - pthread_cancel(): calls other than score, score_dense, decide and auction_run run to their end; a cancellation that came
 *    meanwhile acts at the caller's next cancellation point, after outputs were written. Those four have no cancellation point:
 *    do not make them with asynchronous cancellation.
 *  - Signals: threads of the library block all signals sent from outside. Stack: 64 KB are enough for every call, and
 *    128 KB for opening and staging.
 *  - Floating point: the library computes with the default environment. Calls may set exception flags, FE_INVALID among them;
 *    unmasked exceptions (feenableexcept) are not supported.
 *
 * Growth
 *  - A program built with an older header runs on a newer library. A program built with a newer header runs on an older library as
 *    long as it leaves what that library does not know at 0; what the library does not know of outputs comes back as 0. A field
 *    that the library does not know and that is not 0 is refused with ADCLICK_BAD_STRUCT_SIZE: nothing is ignored.
 *  - Structs with a struct_size grow at their end.
 *  - Candidates and winners grow at their end too. Their arrays carry the size of an entry once, in candidate_size and winner_size
 *    of adclick_request and adclick_auction_options: set them to sizeof(adclick_candidate) and sizeof(adclick_winner), always. 0
 *    stands for the sizes of the first version, 56 and 64 bytes, and is refused from a header in which they have grown.
 *  - Entries of the library's own size are used where they are. Candidates of another size are copied into the scorer, which
 *    allocates nothing; winners are written as far as the caller's entry goes, and the rest of a longer one becomes 0. Entries have
 *    up to 4096 bytes and keep the alignment of their type.
 *  - adclick_value and adclick_row never change: anything further about values travels in separate arrays.
 *  - Exported names never go; statuses, reasons and other numbers are never renumbered, and get new ones.
 *
 * Generated from the sources; `make header` renews it. docs/c-api.md begins with a tour.
 *
 * Index
 *   1. Versions
 *      ADCLICK_ABI_VERSION adclick_abi_version adclick_version
 *   2. Statuses and errors
 *      adclick_status ADCLICK_ERROR_MESSAGE adclick_error adclick_status_name
 *   3. Handles
 *      adclick_engine adclick_staged adclick_scorer
 *   4. Engines
 *      ADCLICK_COPY ADCLICK_NO_OVERLAYS ADCLICK_LAZY_TABLES adclick_precision adclick_engine_options
 *      adclick_engine_open adclick_engine_close adclick_engine_close_within adclick_kernel
 *      adclick_engine_precision_error adclick_ad_cache_state adclick_ad_cache adclick_engine_ad_cache
 *   5. Generations
 *      adclick_engine_stage adclick_staged_generation adclick_staged_activate adclick_staged_discard
 *      adclick_engine_rollback adclick_engine_generation
 *   6. Following CURRENT
 *      adclick_engine_poll adclick_engine_follow_error adclick_follow_state adclick_engine_follow_state
 *   7. Names, ids and keys
 *      adclick_engine_feature adclick_hash adclick_key
 *   8. Requests
 *      adclick_value ADCLICK_KEEP_NO_USER adclick_request adclick_exploration adclick_bid_kind
 *      ADCLICK_CANDIDATE_STOPPED ADCLICK_CANDIDATE_FLOOR_EXEMPT adclick_candidate adclick_outcome
 *   9. Scoring
 *      adclick_scorer_options adclick_scorer_new adclick_scorer_free adclick_scorer_score
 *      adclick_scorer_score_dense
 *  10. Deciding
 *      adclick_reason adclick_price_bound adclick_reserve_source ADCLICK_NO_CANDIDATE ADCLICK_WINNER_EXPLORED
 *      adclick_winner adclick_scorer_decide adclick_explanation adclick_scorer_explain adclick_auction_options
 *      adclick_auction_run adclick_reason_name adclick_bill
 *  11. Values in columns
 *      ADCLICK_COLUMNS_MISSING_ID adclick_columns adclick_scorer_score_columns adclick_scorer_decide_columns
 *  12. What the model reads
 *      ADCLICK_MODEL_WIDE adclick_model adclick_engine_model adclick_side adclick_value_kind adclick_reading
 *      adclick_source ADCLICK_INPUT_NUMBER ADCLICK_INPUT_ID ADCLICK_INPUT_NAME ADCLICK_INPUT_FROM
 *      adclick_model_input adclick_engine_model_input adclick_check adclick_engine_check
 *      adclick_engine_check_columns adclick_engine_input_error
 *  13. Rows on top of tables
 *      adclick_engine_table adclick_engine_column ADCLICK_UPSERT_INCREMENT ADCLICK_UPSERT_WHOLE_ROW
 *      adclick_upsert adclick_row adclick_upsert_result adclick_engine_upsert adclick_engine_remove_rows
 *      adclick_engine_clear_rows adclick_table_info adclick_engine_table_info
 *  14. Switches
 *      adclick_switch_kind adclick_engine_switch adclick_engine_switched
 *  15. Log and events
 *      ADCLICK_LOG_NO_THREAD adclick_log_options adclick_engine_log_open adclick_log_drain adclick_log_state
 *      adclick_engine_log_state adclick_engine_log_error ADCLICK_EVENT_FORGED ADCLICK_EVENT_EXPIRED
 *      ADCLICK_EVENT_REPEATED ADCLICK_EVENT_EARLY adclick_agent adclick_conversion adclick_feedback
 *      adclick_event adclick_engine_record_impression adclick_engine_record_viewable
 *      adclick_engine_record_click adclick_engine_record_dwell adclick_engine_record_conversion
 *      adclick_engine_record_feedback
 *  16. Metrics
 *      adclick_engine_metrics */

#ifndef ADCLICK_H
#define ADCLICK_H
#include <stddef.h>
#include <stdint.h>

/* An enum whose numbers have one width in every standard. */
#if defined(__cplusplus)
#define ADCLICK_ENUM(name, type) enum name : type
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L
#define ADCLICK_ENUM(name, type) typedef enum name : type name; enum name : type
#else
#define ADCLICK_ENUM(name, type) typedef type name; enum name
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- 1. Versions --------------------------------------------------------------------------------------------
 */

// The version of the ABI that this header describes. A library with a larger one still runs programs built with it.
#define ADCLICK_ABI_VERSION 1

// The version of the ABI that the linked library has. A program runs with every library for which this is at least the
// `ADCLICK_ABI_VERSION` that it was compiled with. Any thread.
uint32_t adclick_abi_version(void);

// The library's version, such as "0.1.0". The text is static: do not free it. Any thread.
const char *adclick_version(void);

/* ---- 2. Statuses and errors ---------------------------------------------------------------------------------
 *
 * What every call returns, and the sentence that goes with a failure.
 * See also: adclick_reason.
 */

// What a call returned. 0 is success, errors are negative and never renumbered; a later library may return numbers that
// this header does not list.
ADCLICK_ENUM(adclick_status, int32_t) {
  // Done.
  ADCLICK_OK = 0,
  // An argument is NULL, out of range, or contradicts another one.
  ADCLICK_INVALID_ARGUMENT = -1,
  // A sized struct has a size smaller than its first version or absurdly large (it was never set), or holds non-zero
  // bytes past what this library knows: the program asks for something newer than the library.
  ADCLICK_BAD_STRUCT_SIZE = -2,
  // More candidates than the scorer was sized for (or more than 1,048,576), more than 65,536 names, or more rows on top
  // of tables than memory has room for.
  ADCLICK_CAPACITY_EXCEEDED = -3,
  // An input value is NaN or infinite; or, from `adclick_engine_input_error`, values came with the wrong side.
  ADCLICK_INVALID_VALUE = -4,
  // The engine was closed, or the handle is not one: closed or used up before, or never given out.
  ADCLICK_CLOSED = -5,
  // A file or directory cannot be opened or read.
  ADCLICK_IO = -6,
  // A file is damaged: checksum, length, offset, count or content.
  ADCLICK_CORRUPT = -7,
  // A file needs a newer library, or something that this CPU or library does not support.
  ADCLICK_UNSUPPORTED = -8,
  // The model's golden requests give other results here than where it was packed.
  ADCLICK_GOLDEN_MISMATCH = -9,
  // There is no earlier generation to roll back to.
  ADCLICK_NO_PREVIOUS = -10,
  // The scorer is in use by another call; or something still runs after the time in which an engine was to be closed.
  ADCLICK_BUSY = -11,
  // The array for the winners, or the room for a text, is too small.
  ADCLICK_BUFFER_TOO_SMALL = -12,
  // A bug in the library: a panic was caught at the boundary.
  ADCLICK_INTERNAL = -100,
};

// The bytes of `adclick_error.message`.
#define ADCLICK_ERROR_MESSAGE 504

// Filled by a call that fails, if the caller passes one; a call that succeeds leaves it alone. It belongs to the caller
// and can be used again and again: set `struct_size` once. 512 bytes.
typedef struct adclick_error {
  // `sizeof(adclick_error)`, set by the caller. With less, the message is cut to fit; with less than 8, nothing is
  // written.
  uint32_t struct_size;
  // An `adclick_status`.
  int32_t status;
  // One sentence for a person: what was expected, what was found, what to do. UTF-8, ends with a 0 byte.
  char message[ADCLICK_ERROR_MESSAGE];
} adclick_error;

// The name of a status, such as "ADCLICK_CLOSED"; "unknown status" for other numbers. The text is static: do not free
// it. Any thread.
const char *adclick_status_name(int32_t status);

/* ---- 3. Handles ---------------------------------------------------------------------------------------------
 *
 * An engine holds what is live; a scorer is one caller's memory; a staged generation waits to go live.
 * See also: adclick_engine_open, adclick_engine_stage, adclick_scorer_new.
 */

// An engine: owns the live generation. Shared by all threads: every call on it may be made at any time from any thread.
// The handle is a number and never followed, so a call on a closed engine gives ADCLICK_CLOSED.
typedef struct adclick_engine adclick_engine;

// A generation that was opened and checked and is not live yet. Belongs to one caller, on any thread. It is used up by
// `adclick_staged_activate` or `adclick_staged_discard`; using it again gives ADCLICK_CLOSED.
typedef struct adclick_staged adclick_staged;

// A scorer: one caller's memory, sized once. Belongs to one caller at a time and may move between threads. A call on a
// scorer that another call is using returns ADCLICK_BUSY. Unlike other handles it is a pointer: using a freed one is
// undefined.
typedef struct adclick_scorer adclick_scorer;

/* ---- 4. Engines ---------------------------------------------------------------------------------------------
 *
 * Opened once for each process, and shared by its threads.
 * See also: adclick_engine_check, adclick_engine_metrics, adclick_engine_follow_state.
 */

// A flag of `adclick_engine_options`: copy the files into memory of the process instead of mapping them. Mapped files are
// shared between processes, but a file that is truncated while it is mapped kills the process.
#define ADCLICK_COPY 1

// A flag of `adclick_engine_options`: nothing can be written on top of tables (`adclick_engine_upsert`).
#define ADCLICK_NO_OVERLAYS 2

// A flag of `adclick_engine_options`: check only the length and the structure of table files, and read no row before a
// request asks for it. For tables larger than memory that were checked where they were packed; a damaged
// row then gives wrong values and nothing worse.
#define ADCLICK_LAZY_TABLES 4

// The arithmetic that outputs are computed in.
ADCLICK_ENUM(adclick_precision, uint32_t) {
  // fp16 weights, f32 sums.
  ADCLICK_PRECISION_EXACT = 0,
  // bf16 weights and activations, f32 sums.
  ADCLICK_PRECISION_BF16 = 1,
  // As bf16, with 8-bit integers in the deep layers behind a ReLU.
  ADCLICK_PRECISION_INT8 = 2,
  // For decisions: int8 or bf16 for all candidates, and exact for those that winners and prices depend on. Gives the
  // same winners at the same prices as exact.
  ADCLICK_PRECISION_AUCTION_EXACT = 3,
};

// How an engine is opened. Zero everything but `struct_size` for the defaults. 344 bytes; 32 in the first version.
typedef struct adclick_engine_options {
  // `sizeof(adclick_engine_options)`.
  uint32_t struct_size;
  // `ADCLICK_COPY`, `ADCLICK_NO_OVERLAYS`, `ADCLICK_LAZY_TABLES`, joined by `|`; or 0.
  uint32_t flags;
  // How much larger than the first model later ones may be, 1 to 1000; 0 = 2. Scorers get that much room.
  float headroom;
  // How often, in milliseconds, the library's own thread ("adclick-follow") looks at CURRENT and switches to the bundle
  // it names; 0 = never, only when `adclick_engine_poll` is called.
  uint32_t follow_ms;
  // The kernel by name ("portable", "avx2", "avx512"), closed with 0; empty = the environment's ADCLICK_KERNEL, or the
  // best that this CPU has.
  char kernel[16];
  // Rows that can be written on top of each table; 0 = 65,536. The engine reserves memory for one and a half times as
  // many; the memory is used as rows are written.
  uint32_t overlay_rows;
  // How many seconds a row written on top of a table counts, column by column, by the time of the request; 0 = until a
  // newer table comes.
  uint32_t overlay_max_age_s;
  // The precision to serve in: 1 + an `adclick_precision`; 0 = what each bundle says, or exact. A CPU or a model that
  // cannot do it serves exact: `adclick_engine_precision_error` says why.
  uint32_t precision;
  // MiB of memory that each generation may take to keep what every ad adds to the first layers of the network; 0 = none.
  // `adclick_engine_ad_cache` tells what it takes. The live generation, the previous one and a staged one each have
  // their own; generations with the same model and ads share one.
  uint32_t ad_cache_mib;
  // How many seconds the time of an upsert may be ahead of this machine's clock; 0 = 300, 4294967295 = any time. A time
  // far in the future, such as one in the wrong unit, would make every earlier write count for nothing.
  uint32_t overlay_max_skew_s;
  // How many seconds an impression id is valid; 0 = 2,592,000, which is 30 days.
  uint32_t impression_max_age_s;
  // The key of impression ids, lower and upper half; 0 in both = one that only this engine has. Servers whose events
  // may reach each other share a key, because each takes ids made with another key for forged. Keep it secret.
  uint64_t impression_key;
  // The upper half of `impression_key`.
  uint64_t impression_key_high;
  // MiB of memory that each generation may take to keep, for features that read small embedding tables, what each row
  // adds to the first layers of the network; 0 = 64, which is the most that is ever used, 4294967295 = none.
  // `adclick_engine_ad_cache` tells what it takes. Logits have the same bits with and without; without, the sums are
  // computed with the request.
  uint32_t id_sums_mib;
  // 0.
  uint32_t reserved;
  // The directory of the log of decisions and events, closed with 0; empty = no log. `adclick_engine_log_open` also takes
  // longer paths, and options.
  char log_directory[256];
  // How many ads, campaigns and advertisers, of each kind, can be off at a time (`adclick_engine_switch`), at most
  // 16,777,216; 0 = 65,536, 18446744073709551615 = none. The first switch of a kind takes 24 bytes for each key of the kind.
  uint64_t switch_keys;
} adclick_engine_options;

// Opens an engine on `path`: a bundle directory, or a directory that holds bundles and CURRENT. The bundle is checked
// whole (manifest, checksums, every shape and count, golden requests) before the call returns.
//
// `path` has `path_len` bytes; it is not kept. `options` may be NULL for the defaults. On success `*out` is the engine,
// the caller's to close with `adclick_engine_close`.
// Errors: ADCLICK_IO, ADCLICK_CORRUPT, ADCLICK_UNSUPPORTED (also an unknown kernel, or one that this CPU lacks),
// ADCLICK_GOLDEN_MISMATCH, ADCLICK_CAPACITY_EXCEEDED (no memory for `overlay_rows` or the ad cache),
// ADCLICK_INVALID_ARGUMENT, ADCLICK_BAD_STRUCT_SIZE.
// Any thread; reads files, so not on a request's path.
adclick_status adclick_engine_open(const char *path,
                                   size_t path_len,
                                   const struct adclick_engine_options *options,
                                   struct adclick_engine **out,
                                   struct adclick_error *error);

// Closes an engine. Calls already running on scorers finish normally; calls that begin afterwards return ADCLICK_CLOSED.
// Memory and maps are released when no call holds them, at the latest when the caller has freed the engine's scorers and
// discarded its staged generations.
//
// NULL does nothing. Errors: ADCLICK_CLOSED when it was closed before.
// Any thread; waits for the following thread, and up to a second for running calls. It abandons a bundle that is being
// staged, which takes well under a second unless the file system hangs. `adclick_engine_close_within` bounds both.
adclick_status adclick_engine_close(struct adclick_engine *engine);

// Closes an engine in at most `timeout_ms` milliseconds.
//
// Errors: ADCLICK_BUSY when something is still running after that time; `error` says what: the following thread in the
// middle of a bundle, or calls under way. The engine is closed and its handle is used up all the same. What is still
// running ends by itself, and then memory and maps are released. After ADCLICK_BUSY leave the library loaded; a
// program that unloads it (`dlclose`) closes without a bound. ADCLICK_CLOSED when it was closed before.
// Any thread.
adclick_status adclick_engine_close_within(struct adclick_engine *engine,
                                           uint32_t timeout_ms,
                                           struct adclick_error *error);

// The name of the kernel (the instruction set) that an engine uses: "avx512", "avx2" or "portable"; with NULL, of the
// best one that this CPU has; "" for a closed engine. The text is static: do not free it. Any thread; takes a lock.
const char *adclick_kernel(const struct adclick_engine *engine);

// Why the live generation is served in exact precision although another was asked for (`adclick_engine_options.precision`,
// or the bundle): returns ADCLICK_UNSUPPORTED and fills `error` with the reason. Returns ADCLICK_OK when it is served as
// asked for.
// Errors: ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_CLOSED.
// Any thread; takes a lock. `adclick_outcome.precision` says what a single request was computed in.
adclick_status adclick_engine_precision_error(const struct adclick_engine *engine,
                                              struct adclick_error *error);

// Why a generation has an ad cache or has none.
ADCLICK_ENUM(adclick_ad_cache_state, uint32_t) {
  // The options allow no memory for one.
  ADCLICK_AD_CACHE_STATE_OFF = 0,
  // It has one.
  ADCLICK_AD_CACHE_STATE_ON = 1,
  // It would take more memory than the options allow.
  ADCLICK_AD_CACHE_STATE_TOO_LARGE = 2,
  // No feature reads a table whose key is the ad alone, or the first layers have so few such columns that keeping their
  // sums would save nothing. A cache of more than 1 MiB has its sums in memory and must save more; one of at most 1 MiB is
  // kept whenever it saves anything.
  ADCLICK_AD_CACHE_STATE_USELESS = 3,
  // The precision served is bf16 or int8, whose first layers are cheap: only exact sums are kept.
  ADCLICK_AD_CACHE_STATE_NOT_EXACT = 4,
};

// The ad cache of a generation, or what it would take, and the sums that are kept by id. 56 bytes.
typedef struct adclick_ad_cache {
  // `sizeof(adclick_ad_cache)`, set by the caller.
  uint32_t struct_size;
  // An `adclick_ad_cache_state`: whether there is one, or why not.
  uint32_t state;
  // Ads whose sums it holds.
  uint64_t n_ads;
  // Bytes that it holds.
  uint64_t bytes;
  // Bytes that it takes or would take; 0 when no sums can be kept.
  uint64_t bytes_needed;
  // Embedding rows whose sums are kept by id, once for each feature that reads them.
  uint64_t n_ids;
  // Bytes that these sums hold.
  uint64_t id_bytes;
  // Bytes that they would take with enough memory allowed; 0 when no feature's are worth keeping.
  uint64_t id_bytes_needed;
} adclick_ad_cache;

// The ad cache of the live generation, or what it would take, into `*cache`: `adclick_engine_options.ad_cache_mib`. Also
// what sums kept by id take: `adclick_engine_options.id_sums_mib`.
// Errors: ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CLOSED.
// Any thread; takes a lock.
adclick_status adclick_engine_ad_cache(const struct adclick_engine *engine,
                                       struct adclick_ad_cache *cache,
                                       struct adclick_error *error);

/* ---- 5. Generations -----------------------------------------------------------------------------------------
 *
 * Model, calibrators, tables and auction policy, published and swapped as one.
 * See also: adclick_outcome.
 */

// Opens and checks a bundle, as `adclick_engine_open` does, without making it live. What is live stays as it is, even on
// failure.
//
// On success `*out` is the staged generation, the caller's to use up by `adclick_staged_activate` or
// `adclick_staged_discard`.
// Errors: ADCLICK_IO, ADCLICK_CORRUPT, ADCLICK_UNSUPPORTED (also when it is larger than the engine's `headroom` allows),
// ADCLICK_GOLDEN_MISMATCH, ADCLICK_CAPACITY_EXCEEDED (no memory for `overlay_rows` or the ad cache),
// ADCLICK_INVALID_ARGUMENT, ADCLICK_CLOSED.
// Any thread; reads files, so not on a request's path.
adclick_status adclick_engine_stage(struct adclick_engine *engine,
                                    const char *path,
                                    size_t path_len,
                                    struct adclick_staged **out,
                                    struct adclick_error *error);

// The id that a staged generation will have, into `*generation`: `adclick_engine_generation`.
// Errors: ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_CLOSED (`staged` was used up).
// Any thread.
adclick_status adclick_staged_generation(const struct adclick_staged *staged,
                                         uint64_t *generation,
                                         struct adclick_error *error);

// Makes a staged generation live by one pointer swap: calls that begin from now on see it; running calls finish with the
// generation that they began with. The previous generation is kept for `adclick_engine_rollback`.
//
// Uses up `staged`, whatever the result. On success `*generation` is the generation's id; it may be NULL.
// Errors: ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_CLOSED (the engine was closed, or `staged` was used up before).
// Any thread; takes microseconds, plus the time to unmap what was replaced earlier. Waits for running upserts, and moves
// rows that were written on top of a table whose columns have changed.
adclick_status adclick_staged_activate(struct adclick_staged *staged,
                                       uint64_t *generation,
                                       struct adclick_error *error);

// Drops a staged generation without making it live. NULL does nothing.
// Errors: ADCLICK_CLOSED when it was used up before.
// Any thread; takes the time to unmap its files.
adclick_status adclick_staged_discard(struct adclick_staged *staged);

// Goes back to the generation before the last activation. One earlier generation is kept, and a rollback uses it up.
//
// On success `*generation` is the id of what is live now; it may be NULL.
// Errors: ADCLICK_NO_PREVIOUS, ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_CLOSED.
// Any thread; takes microseconds. Waits for running upserts, as `adclick_staged_activate` does.
adclick_status adclick_engine_rollback(struct adclick_engine *engine,
                                       uint64_t *generation,
                                       struct adclick_error *error);

// The id of the live generation, into `*generation`: the hash of its bundle's content, never 0, the same on every machine.
// Errors: ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_CLOSED.
// Any thread; takes a lock. `adclick_outcome.generation` says which generation a single request saw.
adclick_status adclick_engine_generation(const struct adclick_engine *engine,
                                         uint64_t *generation,
                                         struct adclick_error *error);

/* ---- 6. Following CURRENT -----------------------------------------------------------------------------------
 *
 * How an engine goes to the bundle that was published last: by a thread of its own (follow_ms), or by polling.
 * See also: adclick_engine_options, adclick_engine_close_within.
 */

// Looks at CURRENT now. When it names a different bundle than at the last look, stages and activates that bundle. Also
// frees replaced generations that no call holds any more. For callers that follow on a thread of their own.
// A refused bundle is remembered: until its files or CURRENT change, looks return the same error and read nothing.
// (Failures that may pass by themselves, such as a lack of memory, are retried, first after a second, in the end every
// five minutes.)
//
// On success `*generation` is the id of the generation that was activated, 0 when there is nothing new; it may be NULL.
// Errors: as `adclick_engine_stage`; ADCLICK_INVALID_ARGUMENT also when the engine was opened on a bundle itself.
// Any thread; reads files, so not on a request's path.
adclick_status adclick_engine_poll(struct adclick_engine *engine,
                                   uint64_t *generation,
                                   struct adclick_error *error);

// Why the last look at CURRENT failed: returns its status and fills `error` with its message. Returns ADCLICK_OK when it
// did not fail. For the health check of a server that follows; the live generation keeps serving. It also reports a live
// bundle whose files have gone missing or changed their length: a restart would not find them.
// Errors: ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_CLOSED, and those of `adclick_engine_stage`.
// Any thread; takes a lock.
adclick_status adclick_engine_follow_error(const struct adclick_engine *engine,
                                           struct adclick_error *error);

// The history of an engine's generations. Counters never decrease, so a difference says what happened since they were last
// read. 72 bytes.
typedef struct adclick_follow_state {
  // `sizeof(adclick_follow_state)`, set by the caller.
  uint32_t struct_size;
  // The status of the last look at CURRENT; `adclick_engine_follow_error` has the message.
  int32_t status;
  // 1 when a thread of the library's own looks at CURRENT (`follow_ms`), else 0.
  uint32_t follows;
  // 0.
  uint32_t reserved;
  // The id of the live generation.
  uint64_t generation;
  // When it became live here: microseconds since 1970-01-01 00:00 UTC.
  int64_t activated_us;
  // When CURRENT was last looked at; 0 = never.
  int64_t looked_us;
  // Looks at CURRENT, including those of `adclick_engine_poll`.
  uint64_t looks;
  // Looks that failed.
  uint64_t failed_looks;
  // Generations that became live after the first.
  uint64_t activations;
  // Returns to the generation before.
  uint64_t rollbacks;
} adclick_follow_state;

// The state of following, into `*state`, for programs that want to know about new generations and failures. Ask from
// time to time: there are no callbacks, so none of the caller's code runs on a thread of the library.
// Errors: ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CLOSED.
// Any thread; takes locks.
adclick_status adclick_engine_follow_state(const struct adclick_engine *engine,
                                           struct adclick_follow_state *state,
                                           struct adclick_error *error);

/* ---- 7. Names, ids and keys ---------------------------------------------------------------------------------
 *
 * Handles are asked for once, at start.
 * See also: adclick_engine_table, adclick_engine_column, adclick_engine_model_input.
 */

// The handle of a feature's input name, for `adclick_value.feature`, into `*handle`. The same name has the same handle
// for the engine's life, whichever generation is live: get handles once, at start. A name that no model uses gets one
// too; its values are ignored and counted in `n_missing` until a model uses it. Handles are never 0. Each engine has
// handles of its own.
//
// `name` has `name_len` bytes; it is not kept.
// Errors: ADCLICK_INVALID_ARGUMENT (NULL, not UTF-8, or not 1 to 255 bytes), ADCLICK_CAPACITY_EXCEEDED (65,536 names),
// ADCLICK_CLOSED.
// Any thread; takes a lock.
adclick_status adclick_engine_feature(struct adclick_engine *engine,
                                      const char *name,
                                      size_t name_len,
                                      uint32_t *handle,
                                      struct adclick_error *error);

// The id of a category string of `len` bytes, for `adclick_value.id`: XXH3-64 with seed 0. An integer category is its own
// id. NULL or a length of 0 gives the id of the empty string. Any thread; allocates nothing.
uint64_t adclick_hash(const void *bytes,
                      size_t len);

// The key of a table row that belongs to `n` ids, such as user and advertiser, in the order in which the table's key
// names them. Packing and serving use the same function. One id is its own key. 0, which is no key, when an id is 0
// (unknown), or when there is none. Any thread; allocates nothing.
uint64_t adclick_key(const uint64_t *ids,
                     size_t n);

/* ---- 8. Requests --------------------------------------------------------------------------------------------
 *
 * What every call that serves takes: a request, the values that are known of it, its candidates and their values.
 * See also: adclick_engine_check.
 */

// One raw value: of an input in a request, or of a table's column in an upsert. 16 bytes. Several values with one
// handle make a multi-valued input or column.
typedef struct adclick_value {
  // Whose value it is. In a request: the handle of an input, from `adclick_engine_feature`. In
  // `adclick_engine_upsert`: the handle of a column, from `adclick_engine_column`. The two kinds of handles are not
  // interchangeable.
  uint32_t feature;
  // The number of a number feature or a vector position; the weight of a multi-valued category, 0 = 1.
  float number;
  // The id of a category (`adclick_hash` of a string, or the integer itself); the position in a vector.
  uint64_t id;
} adclick_value;

// A flag of `adclick_request`: nothing about the user may be kept. The decision is logged without user and session,
// and without values that belong to the user.
#define ADCLICK_KEEP_NO_USER 1

// One ad request. 96 bytes; 64 in the first version.
typedef struct adclick_request {
  // `sizeof(adclick_request)`.
  uint32_t struct_size;
  // `ADCLICK_KEEP_NO_USER`, or 0.
  uint32_t flags;
  // The caller's id of the request; seeds what is random and ends up in logs.
  uint64_t request_id;
  // The user's key in user tables; 0 = unknown.
  uint64_t user_key;
  // When the request was made: microseconds since 1970-01-01 00:00 UTC.
  int64_t time_us;
  // The user's offset from UTC in seconds, -86400 to 86400; 0 for a model that was trained on hours in UTC. Its
  // provenance says which clock that was (`clock`, shown by `adclick inspect`).
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
  // `sizeof(adclick_candidate)`: how far apart the candidates stand. 0 = 56, the first version's.
  uint32_t candidate_size;
  // `sizeof(adclick_winner)`: how far apart the winners stand. 0 = 64, the first version's.
  uint32_t winner_size;
  // The caller's id of the session, for the decision log; 0 = unknown.
  uint64_t session_id;
  // The least value of 1000 impressions that the publisher takes, in micros, for bids of every kind; 0 = none.
  int64_t floor_cpm_micros;
  // The caller's number of the kind of device, for rules of the policy; 0 = unknown.
  uint32_t device;
  // An `adclick_exploration` to replay a decision by; 0 = the cap on what exploration may cost decides.
  uint32_t exploration;
} adclick_request;

// Whether a decision might explore: given back with a decision, and taken to replay it.
ADCLICK_ENUM(adclick_exploration, uint32_t) {
  // The policy does not explore. In a request: the cap on its cost decides.
  ADCLICK_EXPLORATION_OFF = 0,
  // It might: places were drawn with the stated propensities.
  ADCLICK_EXPLORATION_ALLOWED = 1,
  // It might not: what it could have cost did not fit under the cap. Nothing was random.
  ADCLICK_EXPLORATION_CAPPED = 2,
};

// What a bid pays for.
ADCLICK_ENUM(adclick_bid_kind, uint32_t) {
  // Per 1000 impressions.
  ADCLICK_BID_KIND_CPM = 0,
  // Per click.
  ADCLICK_BID_KIND_CPC = 1,
  // Per conversion.
  ADCLICK_BID_KIND_CPA = 2,
  // Bid per conversion, billed per 1000 impressions.
  ADCLICK_BID_KIND_OCPM = 3,
};

// `flags` of a candidate: it has stopped (out of budget, switched off) and takes no part.
#define ADCLICK_CANDIDATE_STOPPED 1

// `flags` of a candidate: no reserve and no floor applies to it but its own `reserve_micros`, of which 0 means 0. For house ads.
#define ADCLICK_CANDIDATE_FLOOR_EXEMPT 2

// One candidate ad. 128 bytes; 56 in the first version, and more in a later one.
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
  // A boost by the platform: multiplies the bid in ranking and divides the price; 0 = 1. `adjust_ppm` moves the bid itself.
  float modifier;
  // Multiplies the rank score; 0 = 1.
  float quality;
  // `ADCLICK_CANDIDATE_STOPPED`, `ADCLICK_CANDIDATE_FLOOR_EXEMPT`; 0 = neither.
  uint32_t flags;
  // The campaign, for limits and rules of the policy; 0 = none.
  uint64_t campaign_key;
  // The creative, for limits of the policy; 0 = none.
  uint64_t creative_key;
  // The category, for limits of the policy; 0 = none.
  uint64_t category_key;
  // The competitive label (ads of one label are rivals that may not stand together), for limits of the policy; 0 = none.
  uint64_t label_key;
  // `adclick_hash` of the name of a tier of the policy; 0 = the policy's default tier.
  uint64_t tier_key;
  // The value of a conversion, in micros, for a bid by value (CPA and oCPM): it bids `value_micros` / target return, and
  // `bid_micros` is the most that it bids, 0 = no such limit. 0 = the bid is `bid_micros`.
  int64_t value_micros;
  // The return that a bid by value aims at, in millionths: 4,000,000 is a value of 4 for each 1 paid. Needed with
  // `value_micros`, and 0 without it.
  uint32_t target_return_ppm;
  // Moves the bid by this many millionths: 200,000 = +20%, -1,000,000 = out of the auction.
  int32_t adjust_ppm;
  // The share of the bid, in millionths, that pacing holds back; 1,000,000 = all, which is out of the auction.
  uint32_t withheld_ppm;
  // The probability, in millionths, with which pacing leaves the candidate out. Drawn from the request's id and the campaign, or
  // the ad where there is no campaign.
  uint32_t throttle_ppm;
  // The slots that the ad fits, slot s as bit s; 0 = all; with a mask, only the slots 0 to 31.
  uint32_t slot_mask;
  // One more than the number of the ad's impressions so far, for the policy's cold-start bonus; 0 = not known, no bonus.
  uint32_t impressions;
} adclick_candidate;

// What a call did. 56 bytes; 32 in the first version.
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
  // Values among `n_missing` that were passed with the request although the model reads them with candidates, or the
  // other way round. `adclick_engine_input_error` names their inputs.
  uint32_t n_wrong_side;
  // An `adclick_exploration`: pass it in the request to replay the decision.
  uint32_t exploration;
  // The probability of the whole slate: 1 when nothing is random; 0 from calls that decide nothing.
  double propensity;
  // The revenue of 1000 such requests that exploration gave up by this slate, at expected prices, in micros.
  int64_t given_up_micros;
} adclick_outcome;

/* ---- 9. Scoring ---------------------------------------------------------------------------------------------
 *
 * Candidates to calibrated probabilities. One call for each request, never one for each candidate.
 * See also: adclick_engine_model.
 */

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

// Makes a scorer for an engine. All memory that its requests need is allocated here, none later.
//
// `options` may be NULL for the defaults. On success `*out` is the scorer, the caller's to free with
// `adclick_scorer_free`, before or after the engine is closed.
// Errors: ADCLICK_INVALID_ARGUMENT, ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CLOSED, ADCLICK_CAPACITY_EXCEEDED when the system refuses
// so much memory.
// Any thread; takes a lock.
adclick_status adclick_scorer_new(struct adclick_engine *engine,
                                  const struct adclick_scorer_options *options,
                                  struct adclick_scorer **out,
                                  struct adclick_error *error);

// Frees a scorer. NULL does nothing.
// Errors: ADCLICK_BUSY when another call is using it; then it is not freed.
// Any thread; takes a lock.
adclick_status adclick_scorer_free(struct adclick_scorer *scorer);

// Calibrated probabilities of all candidates of a request.
//
// `values` has `request->n_values` entries, `candidates` `request->n_candidates`, and `candidate_values`
// `request->n_candidate_values`, of which each candidate names its own by `first_value` and `n_values`. `pctr` takes
// `n_candidates` floats, P(click | impression); `pcvr` takes as many, P(conversion | click), or is NULL when they are
// not wanted. Without a pCTR head `pctr` is filled with NaN, without a pCVR head `pcvr`. A candidate whose logit
// overflows gets NaN. `outcome` may be NULL.
// `n_slots`, `deadline_us` and the bids are not read. The caller keeps all memory; the library keeps no pointer to it.
// Errors: ADCLICK_INVALID_ARGUMENT, ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CAPACITY_EXCEEDED, ADCLICK_INVALID_VALUE (a value
// is NaN or infinite), ADCLICK_CLOSED, ADCLICK_BUSY. Then only `error` was written, and the scorer can be used again.
// One thread at a time for each scorer. Allocates nothing, takes no lock, makes no system call.
adclick_status adclick_scorer_score(struct adclick_scorer *scorer,
                                    const struct adclick_request *request,
                                    const struct adclick_value *values,
                                    const struct adclick_candidate *candidates,
                                    const struct adclick_value *candidate_values,
                                    float *pctr,
                                    float *pcvr,
                                    struct adclick_outcome *outcome,
                                    struct adclick_error *error);

// Calibrated probabilities of ready inputs: `x` has `n` rows of `width` floats, row after row, columns in the order in
// which the schema declares its features (`adclick inspect` prints it). `pctr`, `pcvr` and `outcome` as in
// `adclick_scorer_score`, one entry for each row.
// Errors: as `adclick_scorer_score`; ADCLICK_INVALID_ARGUMENT also when `width` is not the model's, or the model has a
// wide part (ready inputs cannot carry its ids).
// One thread at a time for each scorer. Allocates nothing, takes no lock, makes no system call.
adclick_status adclick_scorer_score_dense(struct adclick_scorer *scorer,
                                          const float *x,
                                          uint32_t n,
                                          uint32_t width,
                                          float *pctr,
                                          float *pcvr,
                                          struct adclick_outcome *outcome,
                                          struct adclick_error *error);

/* ---- 10. Deciding --------------------------------------------------------------------------------------------
 *
 * Candidates to winners with prices: the whole path, or the auction alone.
 * See also: adclick_candidate.
 */

// What became of a candidate, as a number that is never renumbered.
ADCLICK_ENUM(adclick_reason, uint32_t) {
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
  // It has stopped: its flag says so.
  ADCLICK_REASON_STOPPED = 15,
  // An adjustment of -100% takes it out.
  ADCLICK_REASON_ADJUSTED_OUT = 16,
  // Pacing holds back the whole bid.
  ADCLICK_REASON_WITHHELD = 17,
  // Pacing left it out of this request, by the throttle's probability.
  ADCLICK_REASON_THROTTLED = 18,
  // An adjustment is under -100%, or a pacing share or probability over 100%.
  ADCLICK_REASON_INVALID_ADJUSTMENT = 19,
  // A bid by value has no target return, or the return no value; or either is negative, or the kind is not billed for
  // conversions.
  ADCLICK_REASON_INVALID_VALUE = 20,
  // The bid is less than one billable unit, or no whole number of them where the policy refuses that.
  ADCLICK_REASON_BELOW_UNIT = 21,
  // The policy has no tier of its name.
  ADCLICK_REASON_UNKNOWN_TIER = 22,
  // The bid's eCPM is under the request's floor or the policy's least eCPM.
  ADCLICK_REASON_BELOW_FLOOR = 23,
  // The quality is under the policy's least.
  ADCLICK_REASON_BELOW_MIN_QUALITY = 24,
  // It fits none of the slots. Under VCG pricing it carries a slot mask, under which that has no exact price.
  ADCLICK_REASON_NO_SLOT = 25,
  // It may not stand beside those ahead of it: a limit of the policy for its advertiser, campaign, creative, category
  // or competitive label is reached.
  ADCLICK_REASON_EXCLUDED = 26,
  // Its ad, its campaign or its advertiser is switched off.
  ADCLICK_REASON_SWITCHED_OFF = 27,
};

// What decided a winner's price.
ADCLICK_ENUM(adclick_price_bound, uint32_t) {
  // The next candidate's score.
  ADCLICK_PRICE_BOUND_NEXT_SCORE = 0,
  // The reserve.
  ADCLICK_PRICE_BOUND_RESERVE = 1,
  // The candidate's own bid.
  ADCLICK_PRICE_BOUND_BID = 2,
  // The billable unit: the bid in billed units is no whole number of them, and the part of a unit is not billed.
  ADCLICK_PRICE_BOUND_UNIT = 3,
  // What the others lose by its place (VCG).
  ADCLICK_PRICE_BOUND_EXTERNALITY = 4,
};

// Where the reserve of a winner comes from: the highest one that applied.
ADCLICK_ENUM(adclick_reserve_source, uint32_t) {
  // There is none.
  ADCLICK_RESERVE_SOURCE_NONE = 0,
  // The candidate's own.
  ADCLICK_RESERVE_SOURCE_CANDIDATE = 1,
  // The policy's for the kind of bid.
  ADCLICK_RESERVE_SOURCE_KIND = 2,
  // A rule of the policy; `reserve_rule` says which.
  ADCLICK_RESERVE_SOURCE_RULE = 3,
  // The request's floor.
  ADCLICK_RESERVE_SOURCE_REQUEST = 4,
  // The policy's least eCPM.
  ADCLICK_RESERVE_SOURCE_ECPM = 5,
  // The policy's score floor.
  ADCLICK_RESERVE_SOURCE_SCORE_FLOOR = 6,
};

// `runner_up` of a winner without a candidate behind it.
#define ADCLICK_NO_CANDIDATE UINT32_MAX

// `flags` of a winner: exploration put it where it stands. Its price is that of its rank.
#define ADCLICK_WINNER_EXPLORED 1

// One winner. 120 bytes; 64 in the first version, and more in a later one.
typedef struct adclick_winner {
  // Index in the array of candidates.
  uint32_t candidate;
  // The place, from 0.
  uint32_t slot;
  // Calibrated P(click | impression); NaN when the model has no such head.
  float pctr;
  // Calibrated P(conversion | click); NaN when the model has no such head.
  float pcvr;
  // Expected value of 1000 impressions at the bid, in millionths of the currency unit.
  int64_t ecpm_micros;
  // The price of one billed event (1000 impressions for CPM and oCPM).
  int64_t price_micros;
  // An `adclick_price_bound`.
  uint32_t price_bound;
  // The eligible candidate next in rank, placed or not; `ADCLICK_NO_CANDIDATE` when there is none.
  uint32_t runner_up;
  // The probability with which this candidate was put in this place, given those in the places before; 1 when nothing is
  // random. The product over the places is the slate's (`adclick_outcome.propensity`).
  double propensity;
  // Identifies this impression in logs and events: the lower half of an id that no other decision has, and that cannot be
  // made without the engine's key.
  uint64_t impression_id;
  // Its upper half. As text an id is 32 lower-case hexadecimal digits, this half first.
  uint64_t impression_id_high;
  // The rank score per 1000 impressions, in micros.
  double score;
  // The bid for one event of its kind as it took part: after adjustments and pacing, in whole billable units.
  int64_t bid_micros;
  // The reserve that applied, per billed event.
  int64_t reserve_micros;
  // The probability with which this candidate was put in this place, whatever stands in the places before. NaN where it is not
  // known exactly: past the first place of a slate that was drawn.
  double marginal_propensity;
  // An `adclick_reserve_source`.
  uint32_t reserve_source;
  // The rule of the policy that the reserve comes from: its number, from 0; meant for `reserve_source` rule alone.
  uint32_t reserve_rule;
  // Its place among all eligible candidates, from 0.
  uint32_t rank;
  // The number of its tier in the policy, from 0.
  uint32_t tier;
  // `ADCLICK_WINNER_EXPLORED`; 0 = placed by its rank.
  uint32_t flags;
  // 0.
  uint32_t reserved;
} adclick_winner;

// The whole path: scores the candidates, calibrates, runs the auction by the generation's policy, and writes the winners,
// best slot first.
//
// Inputs as in `adclick_scorer_score`. `winners` has room for `max_winners` entries, at least
// min(n_slots, n_candidates); entries past `outcome->n_winners` are left alone. `reasons` takes an `adclick_reason` for
// each candidate, or is NULL when it is not wanted. `outcome` may be NULL; it says how many winners there are, so most
// callers want it. With `deadline_us`, candidates not scored in time are cut off: they cannot win, and are counted. The first few
// are always scored, and those before others that would score best by a cheap guess (docs/auction.md). With a model that has no
// pCTR head, CPC, CPA and oCPM bids get ADCLICK_REASON_INVALID_PCTR, and only CPM bids win. The caller keeps all memory; the
// library keeps no pointer to it.
// Errors: as `adclick_scorer_score`, and ADCLICK_BUFFER_TOO_SMALL for `winners`. A bad bid is no error: the candidate gets
// its reason.
// One thread at a time for each scorer. Allocates nothing, takes no lock, makes no system call (it reads the clock,
// as the other calls do, which takes none on Linux).
adclick_status adclick_scorer_decide(struct adclick_scorer *scorer,
                                     const struct adclick_request *request,
                                     const struct adclick_value *values,
                                     const struct adclick_candidate *candidates,
                                     const struct adclick_value *candidate_values,
                                     struct adclick_winner *winners,
                                     uint32_t max_winners,
                                     uint32_t *reasons,
                                     struct adclick_outcome *outcome,
                                     struct adclick_error *error);

// What a decision found of one candidate. 144 bytes.
//
// A number that the decision did not come to is NaN where it is a probability, a logit or a score, and 0 elsewhere.
typedef struct adclick_explanation {
  // `sizeof(adclick_explanation)`, set by the caller.
  uint32_t struct_size;
  // Index in the decision's array of candidates.
  uint32_t candidate;
  // An `adclick_reason`.
  uint32_t reason;
  // The place of a winner, from 0; 0 for all others.
  uint32_t slot;
  // The logit of a click as the network gave it, before calibration.
  float logit_ctr;
  // The logit of a conversion after a click.
  float logit_cvr;
  // Calibrated P(click | impression).
  float pctr;
  // Calibrated P(conversion | click).
  float pcvr;
  // Multiplies the bid: the candidate's adjustment and those of the policy's rules.
  double adjust;
  // Multiplies the bid: the share that pacing leaves.
  double paced;
  // Multiplies the rank and divides the price: the candidate's modifier, the boosts of the policy's rules, the cold-start bonus.
  double boost;
  // Multiplies the rank score.
  double quality;
  // The score of one micro of the bid; the score is this times the bid.
  double weight;
  // The rank score per 1000 impressions, in micros.
  double score;
  // The bid for one event of its kind as it took part: after adjustments and pacing, in whole billable units; 0: it made none.
  int64_t bid_micros;
  // Expected value of 1000 impressions at the bid, in micros.
  int64_t ecpm_micros;
  // The highest reserve or floor that applied, per billed event; of a candidate that did not reach one, that one.
  int64_t reserve_micros;
  // An `adclick_reserve_source`.
  uint32_t reserve_source;
  // The rule of the policy that the reserve comes from: its number, from 0; meant for `reserve_source` rule alone.
  uint32_t reserve_rule;
  // Its place among the eligible candidates, from 0; `n_eligible` when it was not one.
  uint32_t rank;
  // Candidates that were eligible.
  uint32_t n_eligible;
  // The number of its tier in the policy, from 0.
  uint32_t tier;
  // 0.
  uint32_t reserved;
  // The generation that decided.
  uint64_t generation;
  // The request's id.
  uint64_t request_id;
} adclick_explanation;

// What the scorer's last decision found of the candidate with this index: its logits, probabilities, multipliers, rank score,
// reserve, place and reason.
//
// The scorer keeps the last decision until its next call, whatever that is; `explanation->request_id` says which it is.
// Winners have the same numbers as in `adclick_winner`, which also has their prices.
// Errors: ADCLICK_INVALID_ARGUMENT when the scorer's last call was no decision or failed, when it had no such candidate, or when
// the generation that decided is no longer live; ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CLOSED, ADCLICK_BUSY.
// One thread at a time for each scorer. Allocates nothing, takes no lock, makes no system call. Its time grows with the
// decision's candidates.
adclick_status adclick_scorer_explain(struct adclick_scorer *scorer,
                                      uint32_t candidate,
                                      struct adclick_explanation *explanation,
                                      struct adclick_error *error);

// The rules of an auction; 0 in a field is its default. 88 bytes; 56 in the first version.
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
  // `sizeof(adclick_candidate)`: how far apart the candidates stand. 0 = 56, the first version's.
  uint32_t candidate_size;
  // `sizeof(adclick_winner)`: how far apart the winners stand. 0 = 64, the first version's.
  uint32_t winner_size;
  // The billable unit in micros: bids are rounded down to whole ones, prices are whole ones; 0 = 1.
  int64_t unit_micros;
  // The least value of 1000 impressions for bids of every kind, in micros; 0 = none.
  int64_t floor_cpm_micros;
  // The request's id, which throttles draw from.
  uint64_t request_id;
} adclick_auction_options;

// Runs one auction, by `options`, on `n` candidates whose probabilities the caller has. Best slot first, the winners go to
// `winners` and their number to `*n_winners`. Their `impression_id` is 0; the values that candidates refer to
// (`first_value`, `n_values`) play no part.
//
// `candidates` has `n` entries and `pctr` `n` probabilities; `pcvr` has `n`, NaN where one is missing, or is NULL.
// `winners` has room for `max_winners` entries, at least min(n_slots, n). `reasons` takes `n` values of
// `adclick_reason`, or is NULL when it is not wanted.
// `scorer` lends its memory, so that nothing is allocated; with NULL the call allocates up to 28 bytes a candidate, and 128 for one of another size. The
// scorer's engine may be closed.
// Errors: ADCLICK_INVALID_ARGUMENT, ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CAPACITY_EXCEEDED, ADCLICK_BUFFER_TOO_SMALL,
// ADCLICK_BUSY. A bad bid or probability is no error: the candidate gets its reason.
// One thread at a time for each scorer; with NULL, any thread.
adclick_status adclick_auction_run(struct adclick_scorer *scorer,
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

// The name of a reason, such as "below_reserve"; "unknown reason" for other numbers. The text is static: do not free it.
// Any thread.
const char *adclick_reason_name(uint32_t reason);

// What to bill for one impression at a price per 1000 impressions, in micros, so that nothing is lost: one impression is rarely a
// whole number of micros. `*carry` begins at 0 and holds what is left over, in thousandths of a micro, 0 to 999, for the next bill.
// Keep one for each account that is billed, and bill from one thread at a time. 1000 impressions at 1,999,999 micros bill
// 1,999,999; cut each time, they would bill 1,999,000.
//
// 0, with `*carry` as it was, for a price under 0. With `carry` NULL what is left over is lost.
// Any thread.
int64_t adclick_bill(uint32_t *carry,
                     int64_t price_micros);

/* ---- 11. Values in columns -----------------------------------------------------------------------------------
 *
 * For candidates that all have the same inputs: handles once, then a block of ids and a block of numbers, row after row.
 * See also: adclick_scorer_score, adclick_scorer_decide, adclick_engine_check_columns.
 */

// A flag of `adclick_columns`: cells whose id is `missing_id` are missing.
#define ADCLICK_COLUMNS_MISSING_ID 1

// How many columns of values the candidates of a request have. 24 bytes. Beside it stand four arrays: `id_features`,
// `[n_ids]` handles, with `ids`, `[n_candidates][n_ids]`; and `number_features`, `[n_numbers]` handles, with `numbers`,
// `[n_candidates][n_numbers]`.
//
// So no handle is looked up for each value. A cell counts as an `adclick_value` does that stands before the candidate's own
// values, an id as one with number 0 and a number as one with id 0: with the same bits in the result and the same counts. Where
// an input takes one value, the last one counts: that of a later column with the same handle, or the candidate's own value. A
// multi-valued category takes each as one more, of weight 1. A vector's positions are passed by values.
typedef struct adclick_columns {
  // `sizeof(adclick_columns)`.
  uint32_t struct_size;
  // `ADCLICK_COLUMNS_MISSING_ID`, or 0: then all ids are ids. A number that is NaN is missing in any case.
  uint32_t flags;
  // Columns of ids; with those of numbers at most 1024.
  uint32_t n_ids;
  // Columns of numbers.
  uint32_t n_numbers;
  // The id that stands for none.
  uint64_t missing_id;
} adclick_columns;

// `adclick_scorer_score` of candidates that have values in columns.
//
// `columns` says how many there are, and may be NULL for none. `id_features` and `number_features` are their handles, `ids` and
// `numbers` the blocks. An array without entries may be NULL. The rest as in `adclick_scorer_score`.
// Errors: as `adclick_scorer_score`; ADCLICK_CAPACITY_EXCEEDED also for more than 1024 columns, ADCLICK_INVALID_VALUE for a number
// that is infinite.
// One thread at a time for each scorer. Allocates nothing, takes no lock, makes no system call.
adclick_status adclick_scorer_score_columns(struct adclick_scorer *scorer,
                                            const struct adclick_request *request,
                                            const struct adclick_value *values,
                                            const struct adclick_candidate *candidates,
                                            const struct adclick_value *candidate_values,
                                            const struct adclick_columns *columns,
                                            const uint32_t *id_features,
                                            const uint64_t *ids,
                                            const uint32_t *number_features,
                                            const float *numbers,
                                            float *pctr,
                                            float *pcvr,
                                            struct adclick_outcome *outcome,
                                            struct adclick_error *error);

// `adclick_scorer_decide` on candidates that have values in columns: `columns` and its arrays as in
// `adclick_scorer_score_columns`, the rest as in `adclick_scorer_decide`.
// Errors: as both.
// One thread at a time for each scorer. Allocates nothing, takes no lock, makes no system call.
adclick_status adclick_scorer_decide_columns(struct adclick_scorer *scorer,
                                             const struct adclick_request *request,
                                             const struct adclick_value *values,
                                             const struct adclick_candidate *candidates,
                                             const struct adclick_value *candidate_values,
                                             const struct adclick_columns *columns,
                                             const uint32_t *id_features,
                                             const uint64_t *ids,
                                             const uint32_t *number_features,
                                             const float *numbers,
                                             struct adclick_winner *winners,
                                             uint32_t max_winners,
                                             uint32_t *reasons,
                                             struct adclick_outcome *outcome,
                                             struct adclick_error *error);

/* ---- 12. What the model reads --------------------------------------------------------------------------------
 *
 * The live model in figures, its inputs by name, and whether a request has them.
 * See also: adclick_engine_feature.
 */

// A flag of `adclick_model`: the model has a wide part, whose ids ready inputs (`adclick_scorer_score_dense`) cannot carry.
#define ADCLICK_MODEL_WIDE 1

// The live model in figures. 40 bytes.
typedef struct adclick_model {
  // `sizeof(adclick_model)`, set by the caller.
  uint32_t struct_size;
  // `ADCLICK_MODEL_WIDE`, or 0.
  uint32_t flags;
  // Columns of a ready input: the `width` of `adclick_scorer_score_dense`.
  uint32_t width;
  // Columns of the request among them.
  uint32_t request_width;
  // 1: pCTR; 2: pCTR and pCVR.
  uint32_t n_heads;
  // Inputs that `adclick_engine_model_input` describes.
  uint32_t n_inputs;
  // Features; several may read one input.
  uint32_t n_features;
  // Tables that the model reads.
  uint32_t n_tables;
  // The generation's id.
  uint64_t generation;
} adclick_model;

// The live model in figures, into `*model`.
// Errors: ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CLOSED.
// Any thread; takes a lock and allocates.
adclick_status adclick_engine_model(const struct adclick_engine *engine,
                                    struct adclick_model *model,
                                    struct adclick_error *error);

// Where in a request a feature's value comes from: the same for all candidates, or one for each.
ADCLICK_ENUM(adclick_side, uint8_t) {
  // One value for the whole request.
  ADCLICK_SIDE_REQUEST = 0,
  // One value for each candidate.
  ADCLICK_SIDE_CANDIDATE = 1,
};

// What a value of an input is.
ADCLICK_ENUM(adclick_value_kind, uint32_t) {
  // One number: `number`.
  ADCLICK_VALUE_KIND_NUMBER = 0,
  // One category: `id`.
  ADCLICK_VALUE_KIND_CATEGORY = 1,
  // Any number of categories: `id`, and its weight in `number`.
  ADCLICK_VALUE_KIND_CATEGORIES = 2,
  // The positions of a vector: `id` is the position, `number` its number.
  ADCLICK_VALUE_KIND_VECTOR = 3,
};

// How a model gets an input.
ADCLICK_ENUM(adclick_reading, uint32_t) {
  // Passed, or its default.
  ADCLICK_READING_PASSED = 0,
  // Passed, or read from tables.
  ADCLICK_READING_TABLE = 1,
  // Derived from the request's time; what is passed is ignored.
  ADCLICK_READING_TIME = 2,
  // Fixed by the schema, as positions are; what is passed is ignored.
  ADCLICK_READING_FIXED = 3,
};

// The place a feature's raw value is taken from.
ADCLICK_ENUM(adclick_source, uint8_t) {
  // Passed with the request.
  ADCLICK_SOURCE_CONTEXT = 0,
  // A table keyed by user.
  ADCLICK_SOURCE_USER = 1,
  // Derived from the request's time.
  ADCLICK_SOURCE_TIME = 2,
  // A table keyed by ad.
  ADCLICK_SOURCE_AD = 3,
  // A table keyed by a pair, such as user and advertiser.
  ADCLICK_SOURCE_CROSS = 4,
  // Passed with the candidate.
  ADCLICK_SOURCE_CANDIDATE = 5,
  // The dot product of two vectors.
  ADCLICK_SOURCE_DOT = 6,
};

// A flag of `adclick_model_input`: `default_number` replaces a missing value, or is the value to which the input is
// fixed.
#define ADCLICK_INPUT_NUMBER 1

// A flag of `adclick_model_input`: `default_id` replaces a missing value, or is the id to which the input is fixed.
#define ADCLICK_INPUT_ID 2

// The bytes of `adclick_model_input.name`.
#define ADCLICK_INPUT_NAME 256

// The bytes of `adclick_model_input.from`.
#define ADCLICK_INPUT_FROM 1056

// An input of the live model. 1368 bytes.
typedef struct adclick_model_input {
  // `sizeof(adclick_model_input)`, set by the caller.
  uint32_t struct_size;
  // The handle of its name, for `adclick_value.feature`.
  uint32_t feature;
  // An `adclick_side`: whether its values come with the request or with each candidate.
  uint32_t side;
  // An `adclick_value_kind`: what its values are.
  uint32_t kind;
  // The length of a vector; 1 for other kinds.
  uint32_t dim;
  // An `adclick_reading`: whether it is passed, read from tables when it is not, or neither.
  uint32_t reading;
  // An `adclick_source`: where the schema takes it from.
  uint32_t source;
  // `ADCLICK_INPUT_NUMBER` or `ADCLICK_INPUT_ID`; with 0 the embedding's row for missing values, or zeros, replace a
  // missing value.
  uint32_t flags;
  // See `ADCLICK_INPUT_ID`.
  uint64_t default_id;
  // See `ADCLICK_INPUT_NUMBER`.
  float default_number;
  // 0.
  uint32_t reserved;
  // Its name. Ends with a 0 byte.
  char name[ADCLICK_INPUT_NAME];
  // The column that it is read from, such as "users.age", or "dot(…)" or "cosine(…)" of two columns; empty when it is
  // not read from tables. Ends with a 0 byte.
  char from[ADCLICK_INPUT_FROM];
  // The generation's id. When it is not that of `adclick_model`, another one went live meanwhile: begin again.
  uint64_t generation;
} adclick_model_input;

// The `index`-th input of the live model, from 0 and below `adclick_model.n_inputs`, into `*input`: the name under
// which its values are passed, the side that they come with, their kind, and their source when they are not passed.
// Passed values take precedence over tables.
// Errors: ADCLICK_INVALID_ARGUMENT (NULL, or there is no such input), ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CLOSED.
// Any thread; takes a lock and allocates.
adclick_status adclick_engine_model_input(const struct adclick_engine *engine,
                                          uint32_t index,
                                          struct adclick_model_input *input,
                                          struct adclick_error *error);

// What `adclick_engine_check` found: how many values, or for the last two requests and candidates, have each fault. 64 bytes.
typedef struct adclick_check {
  // `sizeof(adclick_check)`, set by the caller.
  uint32_t struct_size;
  // Lines of the text, one for each fault of each input.
  uint32_t n_problems;
  // Errors among them: faults of the first five kinds below. Serve no traffic before there are none. The other faults
  // are notes; they may be intended.
  uint32_t n_errors;
  // Values with a handle that no name has, or whose name the model does not read.
  uint32_t n_unknown;
  // Values that the model reads from the other side.
  uint32_t n_wrong_side;
  // Ids where the model reads a number, or numbers where it reads an id, in all values of an input.
  uint32_t n_wrong_kind;
  // Positions past the end of a vector.
  uint32_t n_out_of_range;
  // Values that are NaN or infinite.
  uint32_t n_not_finite;
  // Values of inputs that the model never reads from the request: times and fixed positions.
  uint32_t n_never_read;
  // Ids that the model's vocabularies lack.
  uint32_t n_unknown_ids;
  // Surplus values of an input that takes one value: the last one counts.
  uint32_t n_repeated;
  // Inputs that are neither passed (a vector: passed in part) nor found in a table, summed over the request and its
  // candidates.
  uint32_t n_missing;
  // Ids of 0 in the keys of tables that the model reads.
  uint32_t n_no_key;
  // 0.
  uint32_t reserved;
  // The id of the generation that it was checked against.
  uint64_t generation;
} adclick_check;

// Checks a request against the live model: whether the model reads each value from that side and as that kind, and
// which inputs are missing. Call it once, at start, with a typical request of the server. Scoring only counts values
// that the model does not use (`adclick_outcome.n_missing`, `n_wrong_side`), because a request must outlive a swap to
// a model with other inputs.
//
// Inputs as in `adclick_scorer_score`. `check` takes the counts; it may be NULL. `text` takes a line for each fault,
// by name, errors first; it has room for `room` bytes, and may be NULL when `room` is 0. On success `*length` of them
// are written, no 0 after them. When the room is too small, nothing is written to `text`; `check` and `*length`, the
// length needed, are written all the same. `length` may be NULL when `room` is 0: then only the counts are wanted, and
// too little room is no error.
// Errors: those of `adclick_scorer_score` for counts, sizes and flags; ADCLICK_BUFFER_TOO_SMALL, ADCLICK_CLOSED. A
// fault of the request is no error.
// Any thread; takes locks and allocates, so not on a request's path.
adclick_status adclick_engine_check(const struct adclick_engine *engine,
                                    const struct adclick_request *request,
                                    const struct adclick_value *values,
                                    const struct adclick_candidate *candidates,
                                    const struct adclick_value *candidate_values,
                                    struct adclick_check *check,
                                    char *text,
                                    size_t room,
                                    size_t *length,
                                    struct adclick_error *error);

// `adclick_engine_check` of a request whose candidates have values in columns: `columns` and its arrays as in
// `adclick_scorer_score_columns`, the rest as in `adclick_engine_check`. A cell is checked as the value that it stands for; a
// missing one is none. An input that has a column and a candidate's own value is counted in `n_repeated`.
// Errors: as `adclick_engine_check`, and those of `adclick_scorer_score_columns` for counts and sizes.
// Any thread; takes locks and allocates, so not on a request's path.
adclick_status adclick_engine_check_columns(const struct adclick_engine *engine,
                                            const struct adclick_request *request,
                                            const struct adclick_value *values,
                                            const struct adclick_candidate *candidates,
                                            const struct adclick_value *candidate_values,
                                            const struct adclick_columns *columns,
                                            const uint32_t *id_features,
                                            const uint64_t *ids,
                                            const uint32_t *number_features,
                                            const float *numbers,
                                            struct adclick_check *check,
                                            char *text,
                                            size_t room,
                                            size_t *length,
                                            struct adclick_error *error);

// Whether requests have passed values on the wrong side since the live model was opened (with the request what the model
// reads with candidates, or the other way round). Such values are ignored. Returns ADCLICK_INVALID_VALUE and fills `error`
// with the names; returns ADCLICK_OK when there were none. For the health check of a server;
// `adclick_input_wrong_side_values` of the metrics has the counts.
// Errors: ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_CLOSED.
// Any thread; takes a lock and allocates.
adclick_status adclick_engine_input_error(const struct adclick_engine *engine,
                                          struct adclick_error *error);

/* ---- 13. Rows on top of tables -------------------------------------------------------------------------------
 *
 * What is known before the next bundle is written on top of the live tables.
 * See also: adclick_key, adclick_engine_options.
 */

// The handle of a table's name, for `adclick_upsert.table`, into `*handle`. The same name has the same handle for the
// engine's life, whichever generation is live, and a name that no bundle has gets one too. Handles are never 0.
//
// `name` has `name_len` bytes; it is not kept.
// Errors: ADCLICK_INVALID_ARGUMENT (NULL, not UTF-8, or not 1 to 255 bytes), ADCLICK_CAPACITY_EXCEEDED (65,536 names of
// tables and columns), ADCLICK_CLOSED.
// Any thread; takes a lock.
adclick_status adclick_engine_table(struct adclick_engine *engine,
                                    const char *name,
                                    size_t name_len,
                                    uint32_t *handle,
                                    struct adclick_error *error);

// The handle of a column of a table, for `adclick_value.feature` of `adclick_engine_upsert`, into `*handle`. `table` is the
// table's handle. It lasts as that does. Features have handles of their own.
//
// `name` has `name_len` bytes; it is not kept.
// Errors: as `adclick_engine_table`; ADCLICK_INVALID_ARGUMENT also when `table` is no table's handle.
// Any thread; takes a lock.
adclick_status adclick_engine_column(struct adclick_engine *engine,
                                     uint32_t table,
                                     const char *name,
                                     size_t name_len,
                                     uint32_t *handle,
                                     struct adclick_error *error);

// A flag of `adclick_upsert`: the numbers are added to what the columns hold.
#define ADCLICK_UPSERT_INCREMENT 1

// A flag of `adclick_upsert`: the rows are replaced as a whole; columns that are not given become missing.
#define ADCLICK_UPSERT_WHOLE_ROW 2

// What `adclick_engine_upsert` writes and where. 32 bytes.
typedef struct adclick_upsert {
  // `sizeof(adclick_upsert)`.
  uint32_t struct_size;
  // 0 replaces the given columns and keeps the others. Or `ADCLICK_UPSERT_INCREMENT`, or `ADCLICK_UPSERT_WHOLE_ROW`.
  uint32_t flags;
  // The handle that `adclick_engine_table` gave for the table's name.
  uint32_t table;
  // Entries in the array of rows.
  uint32_t n_rows;
  // Entries in the array of values.
  uint32_t n_values;
  // 0.
  uint32_t reserved;
  // When the values were right: microseconds since 1970-01-01 00:00 UTC, no further ahead of this machine's clock than
  // `overlay_max_skew_s` and not past 2106; 0 = now by that clock.
  int64_t time_us;
} adclick_upsert;

// One row of a feature table to write. 16 bytes.
typedef struct adclick_row {
  // The row's key, not 0; for a cross table, what `adclick_key` makes of the ids.
  uint64_t key;
  // The first of the row's values in the array of values.
  uint32_t first_value;
  // How many values the row has.
  uint32_t n_values;
} adclick_row;

// What an upsert did. 16 bytes.
typedef struct adclick_upsert_result {
  // `sizeof(adclick_upsert_result)`, set by the caller.
  uint32_t struct_size;
  // Rows with at least one column that was written.
  uint32_t n_applied;
  // Rows with at least one column that was not written, because what is there, or the table itself, is newer.
  uint32_t n_stale;
  // Rows of other keys that were evicted to make room.
  uint32_t n_evicted;
} adclick_upsert_result;

// Writes rows on top of a table of the live generation: values that are known before the next bundle comes. Requests
// that begin afterwards see them; running ones may. Readers never wait.
//
// All rows are checked before the first is written; then each appears whole, one by one, in order. `rows` has
// `upsert->n_rows` entries, `values` `upsert->n_values`; a row's values are those that its `first_value` and `n_values` say.
// `adclick_value.feature` is a column's handle, and the values of one column stand together: one for a number (`number`);
// one for each id (`id`); one for each position of a vector (`id` is the position, `number` its number; all of them).
//
// Each column of a row keeps the time of its last write, in whole seconds. It is replaced by a write of the same time or a
// later one, and counts until a table comes that was built later, or until it is older than the engine's
// `overlay_max_age_s`. Increments add to the number that a request would see, whatever their order, unless the table was
// built later. Sums stay within the column's range, and are as exact as it is: f32 counts to 16,777,216, fp16 to 2,048.
// When there is no room, the row that was written longest ago is evicted.
//
// `out` may be NULL. Errors, each with the row's and the value's index: ADCLICK_INVALID_ARGUMENT (NULL, unknown flags, key
// 0, a time too far ahead of the clock (`overlay_max_skew_s`), a table or column that the live generation does not have, values that do not fit their column, an engine without
// overlays), ADCLICK_INVALID_VALUE (NaN or infinite), ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CLOSED. Then nothing was written.
// Any thread; takes locks and allocates, so not on a request's path.
adclick_status adclick_engine_upsert(struct adclick_engine *engine,
                                     const struct adclick_upsert *upsert,
                                     const struct adclick_row *rows,
                                     const struct adclick_value *values,
                                     struct adclick_upsert_result *out,
                                     struct adclick_error *error);

// Removes the rows of `n` keys that were written on top of a table of the live generation: requests that begin afterwards
// see what the table itself holds. Keys without such a row do no harm. `table` is the table's handle.
//
// On success `*n_removed` is how many rows there were; it may be NULL.
// Errors: ADCLICK_INVALID_ARGUMENT (NULL, a table that the live generation does not have, an engine without overlays),
// ADCLICK_CLOSED.
// Any thread; takes locks.
adclick_status adclick_engine_remove_rows(struct adclick_engine *engine,
                                          uint32_t table,
                                          const uint64_t *keys,
                                          size_t n,
                                          uint64_t *n_removed,
                                          struct adclick_error *error);

// Removes all rows that were written on top of a table, as `adclick_engine_remove_rows` does. Rows that are written
// meanwhile may stay.
//
// On success `*n_removed` is how many rows there were; it may be NULL.
// Errors: as `adclick_engine_remove_rows`.
// Any thread; takes locks, and a few nanoseconds for each row of the overlay's capacity.
adclick_status adclick_engine_clear_rows(struct adclick_engine *engine,
                                         uint32_t table,
                                         uint64_t *n_removed,
                                         struct adclick_error *error);

// A table of the live generation and what was written on top of it. 64 bytes.
typedef struct adclick_table_info {
  // `sizeof(adclick_table_info)`, set by the caller.
  uint32_t struct_size;
  // Files (shards) of the table in the bundle.
  uint32_t n_shards;
  // Rows in these files.
  uint64_t rows;
  // When the oldest of them was built: microseconds since 1970-01-01 00:00 UTC.
  int64_t built_us;
  // For how many seconds the table is fresh; 0 = no limit.
  uint64_t fresh_for_s;
  // Rows written on top of the table, including those that no longer count.
  uint64_t overlay_rows;
  // Rows that were asked for; 0 = the engine has no overlays.
  uint64_t overlay_capacity;
  // Rows evicted so far to make room for others.
  uint64_t overlay_evictions;
  // Bytes reserved for what is written on top of the table.
  uint64_t overlay_bytes;
} adclick_table_info;

// A table of the live generation and what was written on top of it, into `*info`.
// Errors: ADCLICK_INVALID_ARGUMENT (NULL, or the live generation has no such table), ADCLICK_BAD_STRUCT_SIZE,
// ADCLICK_CLOSED.
// Any thread; takes a lock.
adclick_status adclick_engine_table_info(const struct adclick_engine *engine,
                                         uint32_t table,
                                         struct adclick_table_info *info,
                                         struct adclick_error *error);

/* ---- 14. Switches --------------------------------------------------------------------------------------------
 *
 * Ads, campaigns and advertisers off and on between bundles.
 * See also: adclick_reason, adclick_engine_options.
 */

// What a switch is of.
ADCLICK_ENUM(adclick_switch_kind, uint32_t) {
  // An ad, by its key.
  ADCLICK_SWITCH_KIND_AD = 0,
  // A campaign, by its key.
  ADCLICK_SWITCH_KIND_CAMPAIGN = 1,
  // An advertiser, by its key.
  ADCLICK_SWITCH_KIND_ADVERTISER = 2,
};

// Turns an ad, a campaign or an advertiser off in decisions, or on again: when a budget is spent, or something is paused.
// `kind` is an `adclick_switch_kind`; `key` is compared with `ad_key`, `campaign_key` or `advertiser_key` of candidates.
// `reason` is the caller's own number of why it is off, for `adclick_engine_switched`; 0 turns it on.
//
// Every `adclick_scorer_decide` that begins after this call has returned sees the switch, on any thread, and it outlives new
// generations and rollbacks; a new engine begins with everything on. A candidate that is off loses for
// ADCLICK_REASON_SWITCHED_OFF. A decision under way looks at its winners once more before it returns: when one was switched
// off meanwhile, and the deadline allows, it is made again, once. `adclick_scorer_score` and `adclick_auction_run` take no notice.
// Errors: ADCLICK_INVALID_ARGUMENT (key 0, an unknown kind), ADCLICK_CAPACITY_EXCEEDED (`switch_keys` of the kind are off; this
// one stays on), ADCLICK_CLOSED. Then nothing was switched.
// Any thread; takes well under a microsecond and allocates nothing. Takes locks that no request takes.
adclick_status adclick_engine_switch(struct adclick_engine *engine,
                                     uint32_t kind,
                                     uint64_t key,
                                     uint32_t reason,
                                     struct adclick_error *error);

// Why an ad, a campaign or an advertiser is off, into `*reason`; 0: it is on. `kind` and `key` are those of
// `adclick_engine_switch`.
// Errors: ADCLICK_INVALID_ARGUMENT (NULL, an unknown kind), ADCLICK_CLOSED.
// Any thread; takes locks that no request takes.
adclick_status adclick_engine_switched(const struct adclick_engine *engine,
                                       uint32_t kind,
                                       uint64_t key,
                                       uint32_t *reason,
                                       struct adclick_error *error);

/* ---- 15. Log and events --------------------------------------------------------------------------------------
 *
 * What was decided and what came of it, in files that others read. docs/logs.md says what they hold.
 * See also: adclick_engine_options, adclick_winner.
 */

// A flag of `adclick_log_options`: no thread of the library writes, only `adclick_log_drain` does.
#define ADCLICK_LOG_NO_THREAD 1

// How a log is kept. Zero everything but `struct_size` for the defaults. 112 bytes; 104 in the first version.
typedef struct adclick_log_options {
  // `sizeof(adclick_log_options)`.
  uint32_t struct_size;
  // `ADCLICK_LOG_NO_THREAD`, or 0.
  uint32_t flags;
  // The share of requests whose slate is logged, 0 to 1: winners, other candidates, and the raw values behind the model's
  // inputs.
  double slate_share;
  // Records that can wait for the writer, of each scorer's decisions and of events; 0 = 8192. A record takes about 330
  // bytes.
  uint32_t ring_records;
  // The most candidates of a slate besides its winners; 0 = 32, 4294967295 = none. When there are more, some are taken at
  // random.
  uint32_t slate_candidates;
  // The most raw values of a slate; 0 = 4096. A slate that has more is not logged, and counted as lost.
  uint32_t slate_values;
  // The size at which a segment is closed, in MiB; 0 = 64.
  uint32_t segment_mib;
  // The age at which a segment is closed, in seconds; 0 = 300.
  uint32_t segment_s;
  // The longest time, in milliseconds, after which what was written is synced; 0 = 1000.
  uint32_t sync_ms;
  // The input whose id is logged as the device, closed with 0; empty = "device_type".
  char device[64];
  // Slates that can wait for the writer, of each scorer, 1 to 4096; 0 = 8. By default each takes about 170,000 bytes, whether it
  // waits or not.
  uint32_t ring_slates;
  // 0.
  uint32_t reserved;
} adclick_log_options;

// Begins to log what an engine decides and the events that it is told, in `directory`, which is made when it is not there.
// Scorers that exist log from now on, too. An engine has one log in its life; `adclick_engine_close` ends it. Segments that
// other processes left open in the directory are cut after their last whole block and closed. docs/logs.md says what the files
// hold, when a record is safe, and how losses are seen.
//
// `directory` has `directory_len` bytes; it is not kept. `options` may be NULL for the defaults.
// Errors: ADCLICK_IO, ADCLICK_INVALID_ARGUMENT (also when there is a log already), ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CLOSED,
// ADCLICK_CAPACITY_EXCEEDED.
// Any thread; writes files, so not on a request's path.
adclick_status adclick_engine_log_open(struct adclick_engine *engine,
                                       const char *directory,
                                       size_t directory_len,
                                       const struct adclick_log_options *options,
                                       struct adclick_error *error);

// Writes and syncs all that waits in an engine's log. With ADCLICK_LOG_NO_THREAD call it often: what finds no room in a ring is
// lost. With a thread it may be called as well, to know that all is safe.
// Errors: ADCLICK_IO (the records stay in memory as far as there is room, and are tried again), ADCLICK_INVALID_ARGUMENT
// (NULL, or there is no log), ADCLICK_CLOSED.
// Any thread; waits for the disk.
adclick_status adclick_log_drain(struct adclick_engine *engine,
                                 struct adclick_error *error);

// The state of a log. Counters never decrease. 104 bytes.
typedef struct adclick_log_state {
  // `sizeof(adclick_log_state)`, set by the caller.
  uint32_t struct_size;
  // The status of the last write or sync; `adclick_engine_log_error` has the message.
  int32_t status;
  // Decisions that are safe.
  uint64_t decisions;
  // Slates that are safe.
  uint64_t slates;
  // Events that are safe.
  uint64_t events;
  // Decisions that were lost because a ring was full.
  uint64_t lost_decisions;
  // Slates that were lost for that reason, or because they have more values than `slate_values`.
  uint64_t lost_slates;
  // Events that were lost because their ring was full.
  uint64_t lost_events;
  // Records that wait in rings.
  uint64_t waiting;
  // Bytes of the records that are safe.
  uint64_t bytes;
  // Segments closed.
  uint64_t segments;
  // Writes, syncs and renames that failed.
  uint64_t failures;
  // How long the oldest record has waited to be safe, in microseconds.
  uint64_t lag_us;
  // Segments that had been left open and were closed.
  uint32_t recovered;
  // 0.
  uint32_t reserved;
} adclick_log_state;

// The state of an engine's log, into `*state`.
// Errors: ADCLICK_INVALID_ARGUMENT (NULL, or there is no log), ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CLOSED.
// Any thread; takes locks.
adclick_status adclick_engine_log_state(const struct adclick_engine *engine,
                                        struct adclick_log_state *state,
                                        struct adclick_error *error);

// Why the last write or sync of an engine's log failed: returns its status and fills `error` with its message. Returns ADCLICK_OK
// when it did not fail. For the health check of a server.
// Errors: ADCLICK_IO, ADCLICK_INVALID_ARGUMENT (NULL, or there is no log), ADCLICK_CLOSED.
// Any thread; takes locks.
adclick_status adclick_engine_log_error(const struct adclick_engine *engine,
                                        struct adclick_error *error);

// What an engine saw at once of an event: its impression id was not made with this engine's key.
#define ADCLICK_EVENT_FORGED 2

// What an engine saw at once of an event: its impression id is older than `impression_max_age_s`.
#define ADCLICK_EVENT_EXPIRED 4

// What an engine saw at once of an event: this engine recorded the same event before.
#define ADCLICK_EVENT_REPEATED 8

// What an engine saw at once of an event: its time is earlier than its decision's by more than a minute.
#define ADCLICK_EVENT_EARLY 16

// What sent an event, as far as the server knows.
ADCLICK_ENUM(adclick_agent, uint32_t) {
  // Not known.
  ADCLICK_AGENT_UNSTATED = 0,
  // A browser or an app.
  ADCLICK_AGENT_BROWSER = 1,
  // A robot that says so.
  ADCLICK_AGENT_ROBOT = 2,
  // A prefetch or a preview.
  ADCLICK_AGENT_PREFETCH = 3,
  // A data centre or a proxy.
  ADCLICK_AGENT_DATA_CENTRE = 4,
  // Other invalid traffic.
  ADCLICK_AGENT_INVALID = 5,
};

// What a conversion says of its order.
ADCLICK_ENUM(adclick_conversion, uint32_t) {
  // It is new.
  ADCLICK_CONVERSION_NEW = 0,
  // Its value is this one and no longer the one before.
  ADCLICK_CONVERSION_RESTATED = 1,
  // It was taken back.
  ADCLICK_CONVERSION_RETRACTED = 2,
};

// What a user said of an ad.
ADCLICK_ENUM(adclick_feedback, uint32_t) {
  // Hid it.
  ADCLICK_FEEDBACK_HIDDEN = 1,
  // Reported it.
  ADCLICK_FEEDBACK_REPORTED = 2,
  // Answered a survey: `answer`.
  ADCLICK_FEEDBACK_ANSWERED = 3,
};

// What came of a decision. What is 0 is not known, or not a matter of this kind of event; what another kind has is refused.
// 120 bytes.
typedef struct adclick_event {
  // `sizeof(adclick_event)`.
  uint32_t struct_size;
  // `ADCLICK_KEEP_NO_USER`: the event is logged without the user; or 0.
  uint32_t flags;
  // The impression's id, both halves from its `adclick_winner`. Only a conversion may be without.
  uint64_t impression_id;
  // Its upper half.
  uint64_t impression_id_high;
  // When it happened: microseconds since 1970-01-01 00:00 UTC.
  int64_t time_us;
  // The caller's id of the event, such as a click's; 0: an impression has one event of the kind.
  uint64_t event_id;
  // Conversion: the click that led to it, by its `event_id`.
  uint64_t click_id;
  // The user's key.
  uint64_t user_key;
  // Conversion: the advertiser's key.
  uint64_t advertiser_key;
  // Conversion: the order, one of the advertiser's. Not 0.
  uint64_t order_id;
  // Conversion: the value, in millionths of the currency unit.
  int64_t value_micros;
  // Dwell: how long the user stayed. Viewable: how long the ad was in view. Microseconds.
  int64_t duration_us;
  // The caller's class of the client's address, such as a hash of its /24.
  uint64_t ip_class;
  // An `adclick_agent`: what sent it.
  uint32_t agent_class;
  // An `adclick_conversion`: what a conversion says of its order.
  uint32_t conversion_kind;
  // Conversion: the caller's number of its type, up to 2,147,483,647.
  uint32_t conversion_type;
  // An `adclick_feedback`: what the user said. Not 0 in a feedback.
  uint32_t feedback;
  // Feedback: the answer to a survey.
  int32_t answer;
  // 0.
  uint32_t reserved;
} adclick_event;

// Records that an ad was rendered: only then did its decision lead to an impression. `event` names the impression and the time,
// and what is known besides.
//
// On success `*seen` is 0, or what is wrong with the event: `ADCLICK_EVENT_FORGED`, `ADCLICK_EVENT_EXPIRED`,
// `ADCLICK_EVENT_REPEATED`, `ADCLICK_EVENT_EARLY`, joined by `|`. It may be NULL. The event is counted, and logged if there is a
// log, in any case: with what is wrong.
// Errors: ADCLICK_INVALID_ARGUMENT (NULL, a field out of range or of another kind of event), ADCLICK_BAD_STRUCT_SIZE,
// ADCLICK_CLOSED.
// Any thread; takes a lock, allocates nothing and waits for no disk: when the log's ring is full, the event is lost and counted.
adclick_status adclick_engine_record_impression(struct adclick_engine *engine,
                                                const struct adclick_event *event,
                                                uint32_t *seen,
                                                struct adclick_error *error);

// Records that an ad was in view, for `duration_us` if known. As `adclick_engine_record_impression`.
adclick_status adclick_engine_record_viewable(struct adclick_engine *engine,
                                              const struct adclick_event *event,
                                              uint32_t *seen,
                                              struct adclick_error *error);

// Records a click, with an `event_id` of its own if it has one. As `adclick_engine_record_impression`.
adclick_status adclick_engine_record_click(struct adclick_engine *engine,
                                           const struct adclick_event *event,
                                           uint32_t *seen,
                                           struct adclick_error *error);

// Records how long the user stayed after a click: `duration_us`. As `adclick_engine_record_impression`.
adclick_status adclick_engine_record_dwell(struct adclick_engine *engine,
                                           const struct adclick_event *event,
                                           uint32_t *seen,
                                           struct adclick_error *error);

// Records a conversion: `order_id`, `advertiser_key`, `value_micros`, `conversion_kind` and `conversion_type`, and what led to it:
// the impression's id, the click's `event_id` as `click_id`, or the user's key. An order that is restated or retracted has the
// same `order_id`. As `adclick_engine_record_impression`.
adclick_status adclick_engine_record_conversion(struct adclick_engine *engine,
                                                const struct adclick_event *event,
                                                uint32_t *seen,
                                                struct adclick_error *error);

// Records what the user said of an ad: `feedback`, and `answer`. As `adclick_engine_record_impression`.
adclick_status adclick_engine_record_feedback(struct adclick_engine *engine,
                                              const struct adclick_event *event,
                                              uint32_t *seen,
                                              struct adclick_error *error);

/* ---- 16. Metrics ---------------------------------------------------------------------------------------------
 * See also: adclick_engine_follow_error, adclick_engine_input_error.
 */

// All metrics of an engine at this moment, in Prometheus' text exposition format 0.0.4, into `text`: for the answer to
// GET /metrics, with the content type "text/plain; version=0.0.4; charset=utf-8". docs/operations.md says what each means.
//
// `text` has room for `room` bytes; it may be NULL when `room` is 0. On success `*length` of them are written, no 0
// after them. When the room is too small, nothing is written to `text`, and `*length` is the room needed: the one
// output that is written on failure. The text grows with its numbers and with tables, so allow a little more; 64 KB is
// enough for 20 tables.
// Errors: ADCLICK_BUFFER_TOO_SMALL, ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_CLOSED.
// Any thread; takes locks that no request takes, allocates nothing, and delays no request. Takes a few tenths of a
// millisecond.
adclick_status adclick_engine_metrics(const struct adclick_engine *engine,
                                      char *text,
                                      size_t room,
                                      size_t *length,
                                      struct adclick_error *error);

#ifdef __cplusplus
}  /* extern "C" */
#endif
/* The layouts are frozen. */
#if defined(__cplusplus) || (defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L)
#ifdef __cplusplus
#define ADCLICK_ASSERT(what) static_assert(what, #what)
#else
#define ADCLICK_ASSERT(what) _Static_assert(what, #what)
#endif
#define ADCLICK_ASSERT_SIZE(type, size) ADCLICK_ASSERT(sizeof(type) == (size))
#define ADCLICK_ASSERT_AT(type, field, offset) ADCLICK_ASSERT(offsetof(type, field) == (offset))
ADCLICK_ASSERT_SIZE(adclick_value, 16);
ADCLICK_ASSERT_AT(adclick_value, feature, 0);
ADCLICK_ASSERT_AT(adclick_value, number, 4);
ADCLICK_ASSERT_AT(adclick_value, id, 8);
ADCLICK_ASSERT_SIZE(adclick_row, 16);
ADCLICK_ASSERT_AT(adclick_row, key, 0);
ADCLICK_ASSERT_AT(adclick_row, first_value, 8);
ADCLICK_ASSERT_AT(adclick_row, n_values, 12);
ADCLICK_ASSERT_SIZE(adclick_request, 96);
ADCLICK_ASSERT_AT(adclick_request, struct_size, 0);
ADCLICK_ASSERT_AT(adclick_request, flags, 4);
ADCLICK_ASSERT_AT(adclick_request, request_id, 8);
ADCLICK_ASSERT_AT(adclick_request, user_key, 16);
ADCLICK_ASSERT_AT(adclick_request, time_us, 24);
ADCLICK_ASSERT_AT(adclick_request, utc_offset_s, 32);
ADCLICK_ASSERT_AT(adclick_request, n_values, 36);
ADCLICK_ASSERT_AT(adclick_request, n_candidates, 40);
ADCLICK_ASSERT_AT(adclick_request, n_candidate_values, 44);
ADCLICK_ASSERT_AT(adclick_request, n_slots, 48);
ADCLICK_ASSERT_AT(adclick_request, placement, 52);
ADCLICK_ASSERT_AT(adclick_request, deadline_us, 56);
ADCLICK_ASSERT_AT(adclick_request, reserved, 60);
ADCLICK_ASSERT_AT(adclick_request, candidate_size, 64);
ADCLICK_ASSERT_AT(adclick_request, winner_size, 68);
ADCLICK_ASSERT_AT(adclick_request, session_id, 72);
ADCLICK_ASSERT_AT(adclick_request, floor_cpm_micros, 80);
ADCLICK_ASSERT_AT(adclick_request, device, 88);
ADCLICK_ASSERT_AT(adclick_request, exploration, 92);
ADCLICK_ASSERT_SIZE(adclick_candidate, 128);
ADCLICK_ASSERT_AT(adclick_candidate, ad_key, 0);
ADCLICK_ASSERT_AT(adclick_candidate, advertiser_key, 8);
ADCLICK_ASSERT_AT(adclick_candidate, bid_micros, 16);
ADCLICK_ASSERT_AT(adclick_candidate, reserve_micros, 24);
ADCLICK_ASSERT_AT(adclick_candidate, bid_kind, 32);
ADCLICK_ASSERT_AT(adclick_candidate, first_value, 36);
ADCLICK_ASSERT_AT(adclick_candidate, n_values, 40);
ADCLICK_ASSERT_AT(adclick_candidate, modifier, 44);
ADCLICK_ASSERT_AT(adclick_candidate, quality, 48);
ADCLICK_ASSERT_AT(adclick_candidate, flags, 52);
ADCLICK_ASSERT_AT(adclick_candidate, campaign_key, 56);
ADCLICK_ASSERT_AT(adclick_candidate, creative_key, 64);
ADCLICK_ASSERT_AT(adclick_candidate, category_key, 72);
ADCLICK_ASSERT_AT(adclick_candidate, label_key, 80);
ADCLICK_ASSERT_AT(adclick_candidate, tier_key, 88);
ADCLICK_ASSERT_AT(adclick_candidate, value_micros, 96);
ADCLICK_ASSERT_AT(adclick_candidate, target_return_ppm, 104);
ADCLICK_ASSERT_AT(adclick_candidate, adjust_ppm, 108);
ADCLICK_ASSERT_AT(adclick_candidate, withheld_ppm, 112);
ADCLICK_ASSERT_AT(adclick_candidate, throttle_ppm, 116);
ADCLICK_ASSERT_AT(adclick_candidate, slot_mask, 120);
ADCLICK_ASSERT_AT(adclick_candidate, impressions, 124);
ADCLICK_ASSERT_SIZE(adclick_winner, 120);
ADCLICK_ASSERT_AT(adclick_winner, candidate, 0);
ADCLICK_ASSERT_AT(adclick_winner, slot, 4);
ADCLICK_ASSERT_AT(adclick_winner, pctr, 8);
ADCLICK_ASSERT_AT(adclick_winner, pcvr, 12);
ADCLICK_ASSERT_AT(adclick_winner, ecpm_micros, 16);
ADCLICK_ASSERT_AT(adclick_winner, price_micros, 24);
ADCLICK_ASSERT_AT(adclick_winner, price_bound, 32);
ADCLICK_ASSERT_AT(adclick_winner, runner_up, 36);
ADCLICK_ASSERT_AT(adclick_winner, propensity, 40);
ADCLICK_ASSERT_AT(adclick_winner, impression_id, 48);
ADCLICK_ASSERT_AT(adclick_winner, impression_id_high, 56);
ADCLICK_ASSERT_AT(adclick_winner, score, 64);
ADCLICK_ASSERT_AT(adclick_winner, bid_micros, 72);
ADCLICK_ASSERT_AT(adclick_winner, reserve_micros, 80);
ADCLICK_ASSERT_AT(adclick_winner, marginal_propensity, 88);
ADCLICK_ASSERT_AT(adclick_winner, reserve_source, 96);
ADCLICK_ASSERT_AT(adclick_winner, reserve_rule, 100);
ADCLICK_ASSERT_AT(adclick_winner, rank, 104);
ADCLICK_ASSERT_AT(adclick_winner, tier, 108);
ADCLICK_ASSERT_AT(adclick_winner, flags, 112);
ADCLICK_ASSERT_AT(adclick_winner, reserved, 116);
ADCLICK_ASSERT_SIZE(adclick_outcome, 56);
ADCLICK_ASSERT_AT(adclick_outcome, struct_size, 0);
ADCLICK_ASSERT_AT(adclick_outcome, n_winners, 4);
ADCLICK_ASSERT_AT(adclick_outcome, n_scored, 8);
ADCLICK_ASSERT_AT(adclick_outcome, n_cut, 12);
ADCLICK_ASSERT_AT(adclick_outcome, n_missing, 16);
ADCLICK_ASSERT_AT(adclick_outcome, precision, 20);
ADCLICK_ASSERT_AT(adclick_outcome, generation, 24);
ADCLICK_ASSERT_AT(adclick_outcome, n_wrong_side, 32);
ADCLICK_ASSERT_AT(adclick_outcome, exploration, 36);
ADCLICK_ASSERT_AT(adclick_outcome, propensity, 40);
ADCLICK_ASSERT_AT(adclick_outcome, given_up_micros, 48);
ADCLICK_ASSERT_SIZE(adclick_explanation, 144);
ADCLICK_ASSERT_AT(adclick_explanation, struct_size, 0);
ADCLICK_ASSERT_AT(adclick_explanation, candidate, 4);
ADCLICK_ASSERT_AT(adclick_explanation, reason, 8);
ADCLICK_ASSERT_AT(adclick_explanation, slot, 12);
ADCLICK_ASSERT_AT(adclick_explanation, logit_ctr, 16);
ADCLICK_ASSERT_AT(adclick_explanation, logit_cvr, 20);
ADCLICK_ASSERT_AT(adclick_explanation, pctr, 24);
ADCLICK_ASSERT_AT(adclick_explanation, pcvr, 28);
ADCLICK_ASSERT_AT(adclick_explanation, adjust, 32);
ADCLICK_ASSERT_AT(adclick_explanation, paced, 40);
ADCLICK_ASSERT_AT(adclick_explanation, boost, 48);
ADCLICK_ASSERT_AT(adclick_explanation, quality, 56);
ADCLICK_ASSERT_AT(adclick_explanation, weight, 64);
ADCLICK_ASSERT_AT(adclick_explanation, score, 72);
ADCLICK_ASSERT_AT(adclick_explanation, bid_micros, 80);
ADCLICK_ASSERT_AT(adclick_explanation, ecpm_micros, 88);
ADCLICK_ASSERT_AT(adclick_explanation, reserve_micros, 96);
ADCLICK_ASSERT_AT(adclick_explanation, reserve_source, 104);
ADCLICK_ASSERT_AT(adclick_explanation, reserve_rule, 108);
ADCLICK_ASSERT_AT(adclick_explanation, rank, 112);
ADCLICK_ASSERT_AT(adclick_explanation, n_eligible, 116);
ADCLICK_ASSERT_AT(adclick_explanation, tier, 120);
ADCLICK_ASSERT_AT(adclick_explanation, reserved, 124);
ADCLICK_ASSERT_AT(adclick_explanation, generation, 128);
ADCLICK_ASSERT_AT(adclick_explanation, request_id, 136);
ADCLICK_ASSERT_SIZE(adclick_error, 512);
ADCLICK_ASSERT_AT(adclick_error, struct_size, 0);
ADCLICK_ASSERT_AT(adclick_error, status, 4);
ADCLICK_ASSERT_AT(adclick_error, message, 8);
ADCLICK_ASSERT_SIZE(adclick_engine_options, 344);
ADCLICK_ASSERT_AT(adclick_engine_options, struct_size, 0);
ADCLICK_ASSERT_AT(adclick_engine_options, flags, 4);
ADCLICK_ASSERT_AT(adclick_engine_options, headroom, 8);
ADCLICK_ASSERT_AT(adclick_engine_options, follow_ms, 12);
ADCLICK_ASSERT_AT(adclick_engine_options, kernel, 16);
ADCLICK_ASSERT_AT(adclick_engine_options, overlay_rows, 32);
ADCLICK_ASSERT_AT(adclick_engine_options, overlay_max_age_s, 36);
ADCLICK_ASSERT_AT(adclick_engine_options, precision, 40);
ADCLICK_ASSERT_AT(adclick_engine_options, ad_cache_mib, 44);
ADCLICK_ASSERT_AT(adclick_engine_options, overlay_max_skew_s, 48);
ADCLICK_ASSERT_AT(adclick_engine_options, impression_max_age_s, 52);
ADCLICK_ASSERT_AT(adclick_engine_options, impression_key, 56);
ADCLICK_ASSERT_AT(adclick_engine_options, impression_key_high, 64);
ADCLICK_ASSERT_AT(adclick_engine_options, id_sums_mib, 72);
ADCLICK_ASSERT_AT(adclick_engine_options, reserved, 76);
ADCLICK_ASSERT_AT(adclick_engine_options, log_directory, 80);
ADCLICK_ASSERT_AT(adclick_engine_options, switch_keys, 336);
ADCLICK_ASSERT_SIZE(adclick_ad_cache, 56);
ADCLICK_ASSERT_AT(adclick_ad_cache, struct_size, 0);
ADCLICK_ASSERT_AT(adclick_ad_cache, state, 4);
ADCLICK_ASSERT_AT(adclick_ad_cache, n_ads, 8);
ADCLICK_ASSERT_AT(adclick_ad_cache, bytes, 16);
ADCLICK_ASSERT_AT(adclick_ad_cache, bytes_needed, 24);
ADCLICK_ASSERT_AT(adclick_ad_cache, n_ids, 32);
ADCLICK_ASSERT_AT(adclick_ad_cache, id_bytes, 40);
ADCLICK_ASSERT_AT(adclick_ad_cache, id_bytes_needed, 48);
ADCLICK_ASSERT_SIZE(adclick_model, 40);
ADCLICK_ASSERT_AT(adclick_model, struct_size, 0);
ADCLICK_ASSERT_AT(adclick_model, flags, 4);
ADCLICK_ASSERT_AT(adclick_model, width, 8);
ADCLICK_ASSERT_AT(adclick_model, request_width, 12);
ADCLICK_ASSERT_AT(adclick_model, n_heads, 16);
ADCLICK_ASSERT_AT(adclick_model, n_inputs, 20);
ADCLICK_ASSERT_AT(adclick_model, n_features, 24);
ADCLICK_ASSERT_AT(adclick_model, n_tables, 28);
ADCLICK_ASSERT_AT(adclick_model, generation, 32);
ADCLICK_ASSERT_SIZE(adclick_model_input, 1368);
ADCLICK_ASSERT_AT(adclick_model_input, struct_size, 0);
ADCLICK_ASSERT_AT(adclick_model_input, feature, 4);
ADCLICK_ASSERT_AT(adclick_model_input, side, 8);
ADCLICK_ASSERT_AT(adclick_model_input, kind, 12);
ADCLICK_ASSERT_AT(adclick_model_input, dim, 16);
ADCLICK_ASSERT_AT(adclick_model_input, reading, 20);
ADCLICK_ASSERT_AT(adclick_model_input, source, 24);
ADCLICK_ASSERT_AT(adclick_model_input, flags, 28);
ADCLICK_ASSERT_AT(adclick_model_input, default_id, 32);
ADCLICK_ASSERT_AT(adclick_model_input, default_number, 40);
ADCLICK_ASSERT_AT(adclick_model_input, reserved, 44);
ADCLICK_ASSERT_AT(adclick_model_input, name, 48);
ADCLICK_ASSERT_AT(adclick_model_input, from, 304);
ADCLICK_ASSERT_AT(adclick_model_input, generation, 1360);
ADCLICK_ASSERT_SIZE(adclick_check, 64);
ADCLICK_ASSERT_AT(adclick_check, struct_size, 0);
ADCLICK_ASSERT_AT(adclick_check, n_problems, 4);
ADCLICK_ASSERT_AT(adclick_check, n_errors, 8);
ADCLICK_ASSERT_AT(adclick_check, n_unknown, 12);
ADCLICK_ASSERT_AT(adclick_check, n_wrong_side, 16);
ADCLICK_ASSERT_AT(adclick_check, n_wrong_kind, 20);
ADCLICK_ASSERT_AT(adclick_check, n_out_of_range, 24);
ADCLICK_ASSERT_AT(adclick_check, n_not_finite, 28);
ADCLICK_ASSERT_AT(adclick_check, n_never_read, 32);
ADCLICK_ASSERT_AT(adclick_check, n_unknown_ids, 36);
ADCLICK_ASSERT_AT(adclick_check, n_repeated, 40);
ADCLICK_ASSERT_AT(adclick_check, n_missing, 44);
ADCLICK_ASSERT_AT(adclick_check, n_no_key, 48);
ADCLICK_ASSERT_AT(adclick_check, reserved, 52);
ADCLICK_ASSERT_AT(adclick_check, generation, 56);
ADCLICK_ASSERT_SIZE(adclick_follow_state, 72);
ADCLICK_ASSERT_AT(adclick_follow_state, struct_size, 0);
ADCLICK_ASSERT_AT(adclick_follow_state, status, 4);
ADCLICK_ASSERT_AT(adclick_follow_state, follows, 8);
ADCLICK_ASSERT_AT(adclick_follow_state, reserved, 12);
ADCLICK_ASSERT_AT(adclick_follow_state, generation, 16);
ADCLICK_ASSERT_AT(adclick_follow_state, activated_us, 24);
ADCLICK_ASSERT_AT(adclick_follow_state, looked_us, 32);
ADCLICK_ASSERT_AT(adclick_follow_state, looks, 40);
ADCLICK_ASSERT_AT(adclick_follow_state, failed_looks, 48);
ADCLICK_ASSERT_AT(adclick_follow_state, activations, 56);
ADCLICK_ASSERT_AT(adclick_follow_state, rollbacks, 64);
ADCLICK_ASSERT_SIZE(adclick_upsert, 32);
ADCLICK_ASSERT_AT(adclick_upsert, struct_size, 0);
ADCLICK_ASSERT_AT(adclick_upsert, flags, 4);
ADCLICK_ASSERT_AT(adclick_upsert, table, 8);
ADCLICK_ASSERT_AT(adclick_upsert, n_rows, 12);
ADCLICK_ASSERT_AT(adclick_upsert, n_values, 16);
ADCLICK_ASSERT_AT(adclick_upsert, reserved, 20);
ADCLICK_ASSERT_AT(adclick_upsert, time_us, 24);
ADCLICK_ASSERT_SIZE(adclick_upsert_result, 16);
ADCLICK_ASSERT_AT(adclick_upsert_result, struct_size, 0);
ADCLICK_ASSERT_AT(adclick_upsert_result, n_applied, 4);
ADCLICK_ASSERT_AT(adclick_upsert_result, n_stale, 8);
ADCLICK_ASSERT_AT(adclick_upsert_result, n_evicted, 12);
ADCLICK_ASSERT_SIZE(adclick_table_info, 64);
ADCLICK_ASSERT_AT(adclick_table_info, struct_size, 0);
ADCLICK_ASSERT_AT(adclick_table_info, n_shards, 4);
ADCLICK_ASSERT_AT(adclick_table_info, rows, 8);
ADCLICK_ASSERT_AT(adclick_table_info, built_us, 16);
ADCLICK_ASSERT_AT(adclick_table_info, fresh_for_s, 24);
ADCLICK_ASSERT_AT(adclick_table_info, overlay_rows, 32);
ADCLICK_ASSERT_AT(adclick_table_info, overlay_capacity, 40);
ADCLICK_ASSERT_AT(adclick_table_info, overlay_evictions, 48);
ADCLICK_ASSERT_AT(adclick_table_info, overlay_bytes, 56);
ADCLICK_ASSERT_SIZE(adclick_columns, 24);
ADCLICK_ASSERT_AT(adclick_columns, struct_size, 0);
ADCLICK_ASSERT_AT(adclick_columns, flags, 4);
ADCLICK_ASSERT_AT(adclick_columns, n_ids, 8);
ADCLICK_ASSERT_AT(adclick_columns, n_numbers, 12);
ADCLICK_ASSERT_AT(adclick_columns, missing_id, 16);
ADCLICK_ASSERT_SIZE(adclick_log_options, 112);
ADCLICK_ASSERT_AT(adclick_log_options, struct_size, 0);
ADCLICK_ASSERT_AT(adclick_log_options, flags, 4);
ADCLICK_ASSERT_AT(adclick_log_options, slate_share, 8);
ADCLICK_ASSERT_AT(adclick_log_options, ring_records, 16);
ADCLICK_ASSERT_AT(adclick_log_options, slate_candidates, 20);
ADCLICK_ASSERT_AT(adclick_log_options, slate_values, 24);
ADCLICK_ASSERT_AT(adclick_log_options, segment_mib, 28);
ADCLICK_ASSERT_AT(adclick_log_options, segment_s, 32);
ADCLICK_ASSERT_AT(adclick_log_options, sync_ms, 36);
ADCLICK_ASSERT_AT(adclick_log_options, device, 40);
ADCLICK_ASSERT_AT(adclick_log_options, ring_slates, 104);
ADCLICK_ASSERT_AT(adclick_log_options, reserved, 108);
ADCLICK_ASSERT_SIZE(adclick_log_state, 104);
ADCLICK_ASSERT_AT(adclick_log_state, struct_size, 0);
ADCLICK_ASSERT_AT(adclick_log_state, status, 4);
ADCLICK_ASSERT_AT(adclick_log_state, decisions, 8);
ADCLICK_ASSERT_AT(adclick_log_state, slates, 16);
ADCLICK_ASSERT_AT(adclick_log_state, events, 24);
ADCLICK_ASSERT_AT(adclick_log_state, lost_decisions, 32);
ADCLICK_ASSERT_AT(adclick_log_state, lost_slates, 40);
ADCLICK_ASSERT_AT(adclick_log_state, lost_events, 48);
ADCLICK_ASSERT_AT(adclick_log_state, waiting, 56);
ADCLICK_ASSERT_AT(adclick_log_state, bytes, 64);
ADCLICK_ASSERT_AT(adclick_log_state, segments, 72);
ADCLICK_ASSERT_AT(adclick_log_state, failures, 80);
ADCLICK_ASSERT_AT(adclick_log_state, lag_us, 88);
ADCLICK_ASSERT_AT(adclick_log_state, recovered, 96);
ADCLICK_ASSERT_AT(adclick_log_state, reserved, 100);
ADCLICK_ASSERT_SIZE(adclick_event, 120);
ADCLICK_ASSERT_AT(adclick_event, struct_size, 0);
ADCLICK_ASSERT_AT(adclick_event, flags, 4);
ADCLICK_ASSERT_AT(adclick_event, impression_id, 8);
ADCLICK_ASSERT_AT(adclick_event, impression_id_high, 16);
ADCLICK_ASSERT_AT(adclick_event, time_us, 24);
ADCLICK_ASSERT_AT(adclick_event, event_id, 32);
ADCLICK_ASSERT_AT(adclick_event, click_id, 40);
ADCLICK_ASSERT_AT(adclick_event, user_key, 48);
ADCLICK_ASSERT_AT(adclick_event, advertiser_key, 56);
ADCLICK_ASSERT_AT(adclick_event, order_id, 64);
ADCLICK_ASSERT_AT(adclick_event, value_micros, 72);
ADCLICK_ASSERT_AT(adclick_event, duration_us, 80);
ADCLICK_ASSERT_AT(adclick_event, ip_class, 88);
ADCLICK_ASSERT_AT(adclick_event, agent_class, 96);
ADCLICK_ASSERT_AT(adclick_event, conversion_kind, 100);
ADCLICK_ASSERT_AT(adclick_event, conversion_type, 104);
ADCLICK_ASSERT_AT(adclick_event, feedback, 108);
ADCLICK_ASSERT_AT(adclick_event, answer, 112);
ADCLICK_ASSERT_AT(adclick_event, reserved, 116);
ADCLICK_ASSERT_SIZE(adclick_scorer_options, 16);
ADCLICK_ASSERT_AT(adclick_scorer_options, struct_size, 0);
ADCLICK_ASSERT_AT(adclick_scorer_options, flags, 4);
ADCLICK_ASSERT_AT(adclick_scorer_options, max_candidates, 8);
ADCLICK_ASSERT_AT(adclick_scorer_options, reserved, 12);
ADCLICK_ASSERT_SIZE(adclick_auction_options, 88);
ADCLICK_ASSERT_AT(adclick_auction_options, struct_size, 0);
ADCLICK_ASSERT_AT(adclick_auction_options, n_slots, 4);
ADCLICK_ASSERT_AT(adclick_auction_options, squash, 8);
ADCLICK_ASSERT_AT(adclick_auction_options, score_floor_micros, 16);
ADCLICK_ASSERT_AT(adclick_auction_options, reserve_micros, 24);
ADCLICK_ASSERT_AT(adclick_auction_options, candidate_size, 56);
ADCLICK_ASSERT_AT(adclick_auction_options, winner_size, 60);
ADCLICK_ASSERT_AT(adclick_auction_options, unit_micros, 64);
ADCLICK_ASSERT_AT(adclick_auction_options, floor_cpm_micros, 72);
ADCLICK_ASSERT_AT(adclick_auction_options, request_id, 80);
#undef ADCLICK_ASSERT_AT
#undef ADCLICK_ASSERT_SIZE
#undef ADCLICK_ASSERT
#endif
#undef ADCLICK_ENUM

#endif  /* ADCLICK_H */
