/* Calls that are wrong in every way that a status is documented for. `bad_calls BUNDLE` ends with 0 when each gave its
 * status, filled the error, and wrote nothing else.
 *
 * The bundle has the inputs "age" and "device" (request), "creative" and "price" (candidate). */

#include <adclick.h>
#include <adclick.h>

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4096 };

static int failures;
static adclick_error error = {.struct_size = sizeof(adclick_error)};
/* The message of the last call that EXPECT made. */
static char said[ADCLICK_ERROR_MESSAGE];

static void expect(int32_t got, int32_t wanted, const char *call, int line) {
  if (got != wanted) {
    fprintf(stderr, "%d: %s gave %s (%s), expected %s\n", line, call, adclick_status_name(got), error.message,
            adclick_status_name(wanted));
    failures++;
  } else if (got != ADCLICK_OK && (error.status != got || error.message[0] == 0)) {
    fprintf(stderr, "%d: %s left the error at %d \"%s\"\n", line, call, error.status, error.message);
    failures++;
  }
  memcpy(said, error.message, sizeof said);
  error.status = 0;
  error.message[0] = 0;
}

/* A call that fills `error`. */
#define EXPECT(status, call) expect((call), (status), #call, __LINE__)
/* The same, and the whole message. */
#define EXPECT_SAYS(status, text, call) \
  do { \
    EXPECT(status, call); \
    if (strcmp(said, text) != 0) { \
      fprintf(stderr, "%d: %s says \"%s\", expected \"%s\"\n", __LINE__, #call, said, text); \
      failures++; \
    } \
  } while (0)
#define CHECK(what) \
  do { \
    if (!(what)) { \
      fprintf(stderr, "%d: not so: %s\n", __LINE__, #what); \
      failures++; \
    } \
  } while (0)

/* A call that takes no error. */
#define EXPECT_PLAIN(status, call) CHECK((call) == (status))

static adclick_engine *engine;
static adclick_scorer *scorer;
static adclick_request request;
static adclick_candidate candidates[2];
static adclick_value values[2];
static adclick_value candidate_values[4];

/* Outputs, and what they held before. */
static struct outputs {
  float pctr[2];
  float pcvr[2];
  adclick_winner winners[2];
  uint32_t reasons[2];
  adclick_outcome outcome;
} out, before;

static int untouched(void) { return memcmp(&out, &before, sizeof out) == 0; }

static int32_t score(const adclick_request *r) {
  return adclick_scorer_score(scorer, r, values, candidates, candidate_values, out.pctr, out.pcvr, &out.outcome, &error);
}

static int32_t decide(const adclick_request *r) {
  return adclick_scorer_decide(scorer, r, values, candidates, candidate_values, out.winners, 2, out.reasons, &out.outcome,
                               &error);
}

/* Both calls give the status and write nothing. */
#define REFUSED(status, r) \
  do { \
    EXPECT(status, score(r)); \
    CHECK(untouched()); \
    EXPECT(status, decide(r)); \
    CHECK(untouched()); \
  } while (0)

static void test_engine(const char *path) {
  const size_t n = strlen(path);
  adclick_engine *e = NULL;
  adclick_staged *s = NULL;
  uint64_t generation = 7;
  uint32_t handle = 7;

  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_open(NULL, n, NULL, &e, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_open(path, 0, NULL, &e, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_open(path, SIZE_MAX, NULL, &e, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_open("a\0b", 3, NULL, &e, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_open(path, n, NULL, NULL, &error));
  EXPECT(ADCLICK_IO, adclick_engine_open("/nowhere/at/all", 15, NULL, &e, &error));
  EXPECT_PLAIN(ADCLICK_IO, adclick_engine_open("/nowhere/at/all", 15, NULL, &e, NULL));
  adclick_engine *kept = (adclick_engine *)&generation;
  EXPECT(ADCLICK_IO, adclick_engine_open("/nowhere/at/all", 15, NULL, &kept, &error));
  CHECK(kept == (adclick_engine *)&generation); /* outputs are written on success only */

  adclick_engine_options o;
  memset(&o, 0, sizeof o);
  EXPECT(ADCLICK_BAD_STRUCT_SIZE, adclick_engine_open(path, n, &o, &e, &error));
  o.struct_size = 31; /* the first version had 32 bytes */
  EXPECT(ADCLICK_BAD_STRUCT_SIZE, adclick_engine_open(path, n, &o, &e, &error));
  o.struct_size = UINT32_MAX;
  EXPECT(ADCLICK_BAD_STRUCT_SIZE, adclick_engine_open(path, n, &o, &e, &error));
  o.struct_size = sizeof o;
  o.flags = 8;
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_open(path, n, &o, &e, &error));
  o.flags = 0;
  o.headroom = 0.5f;
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_open(path, n, &o, &e, &error));
  o.headroom = NAN;
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_open(path, n, &o, &e, &error));
  o.headroom = 0;
  o.follow_ms = 10; /* a bundle has no CURRENT */
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_open(path, n, &o, &e, &error));
  o.follow_ms = 0;
  memset(o.kernel, 'x', sizeof o.kernel);
  EXPECT(ADCLICK_UNSUPPORTED, adclick_engine_open(path, n, &o, &e, &error));
  memset(o.kernel, 0xff, sizeof o.kernel);
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_open(path, n, &o, &e, &error));
  CHECK(e == NULL);

  /* A newer header's struct: what this library does not know must be 0. */
  struct {
    adclick_engine_options known;
    uint64_t later[2];
  } newer;
  memset(&newer, 0, sizeof newer);
  newer.known.struct_size = sizeof newer;
  newer.known.flags = ADCLICK_COPY;
  newer.later[1] = UINT64_C(1) << 63;
  EXPECT(ADCLICK_BAD_STRUCT_SIZE, adclick_engine_open(path, n, &newer.known, &e, &error));
  newer.later[1] = 0;
  EXPECT(ADCLICK_OK, adclick_engine_open(path, n, &newer.known, &e, &error));

  /* Handles that are none. */
  int local = 0;
  adclick_ad_cache cache = {.struct_size = sizeof cache, .bytes_needed = 7};
  adclick_engine *const garbage[] = {NULL, (adclick_engine *)&local, (adclick_engine *)1, (adclick_engine *)UINTPTR_MAX};
  for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
    adclick_engine *const g = garbage[i];
    adclick_staged *const gs = (adclick_staged *)g;
    adclick_scorer *made = NULL;
    const int32_t wanted = g == NULL ? ADCLICK_INVALID_ARGUMENT : ADCLICK_CLOSED;
    EXPECT(wanted, adclick_engine_stage(g, path, n, &s, &error));
    EXPECT(wanted, adclick_engine_rollback(g, &generation, &error));
    EXPECT(wanted, adclick_engine_poll(g, &generation, &error));
    EXPECT(wanted, adclick_engine_follow_error(g, &error));
    EXPECT(wanted, adclick_engine_precision_error(g, &error));
    EXPECT(wanted, adclick_engine_ad_cache(g, &cache, &error));
    EXPECT(wanted, adclick_engine_generation(g, &generation, &error));
    EXPECT(wanted, adclick_engine_feature(g, "age", 3, &handle, &error));
    EXPECT(wanted, adclick_scorer_new(g, NULL, &made, &error));
    EXPECT(wanted, adclick_staged_activate(gs, &generation, &error));
    EXPECT_PLAIN(g == NULL ? ADCLICK_OK : ADCLICK_CLOSED, adclick_engine_close(g));
    EXPECT_PLAIN(g == NULL ? ADCLICK_OK : ADCLICK_CLOSED, adclick_staged_discard(gs));
    CHECK(adclick_kernel(g) != NULL && (g == NULL) == (adclick_kernel(g)[0] != 0));
    CHECK(s == NULL && made == NULL && generation == 7 && handle == 7 && cache.bytes_needed == 7);
  }
  /* A handle of another kind. */
  EXPECT(ADCLICK_CLOSED, adclick_staged_activate((adclick_staged *)e, NULL, &error));

  EXPECT_SAYS(ADCLICK_INVALID_ARGUMENT, "name: it is NULL, expected a pointer",
              adclick_engine_feature(e, NULL, 3, &handle, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_feature(e, "age", 0, &handle, &error));
  EXPECT_SAYS(ADCLICK_INVALID_ARGUMENT, "name: it is not UTF-8", adclick_engine_feature(e, "\xff\xfe", 2, &handle, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_feature(e, "age", 3, NULL, &error));
  char name[256];
  memset(name, 'n', sizeof name);
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_feature(e, name, 256, &handle, &error));
  CHECK(handle == 7);
  EXPECT(ADCLICK_OK, adclick_engine_feature(e, name, 255, &handle, &error));
  CHECK(handle != 0);

  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_generation(e, NULL, &error));
  EXPECT(ADCLICK_NO_PREVIOUS, adclick_engine_rollback(e, &generation, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_poll(e, &generation, &error)); /* opened on a bundle itself */
  EXPECT(ADCLICK_OK, adclick_engine_follow_error(e, &error));
  CHECK(generation == 7);
  EXPECT(ADCLICK_IO, adclick_engine_stage(e, "/nowhere/at/all", 15, &s, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_stage(e, path, n, NULL, &error));
  CHECK(s == NULL);

  /* A staged generation is used up once, activated or discarded. */
  EXPECT(ADCLICK_OK, adclick_engine_stage(e, path, n, &s, &error));
  EXPECT(ADCLICK_OK, adclick_staged_activate(s, &generation, &error));
  CHECK(generation != 7 && generation != 0);
  EXPECT(ADCLICK_CLOSED, adclick_staged_activate(s, &generation, &error));
  EXPECT_PLAIN(ADCLICK_CLOSED, adclick_staged_discard(s));
  EXPECT(ADCLICK_OK, adclick_engine_rollback(e, NULL, &error));
  EXPECT(ADCLICK_NO_PREVIOUS, adclick_engine_rollback(e, NULL, &error));
  EXPECT(ADCLICK_OK, adclick_engine_stage(e, path, n, &s, &error));
  EXPECT_PLAIN(ADCLICK_OK, adclick_staged_discard(s));
  EXPECT(ADCLICK_CLOSED, adclick_staged_activate(s, NULL, &error));

  /* Closing: twice, and with a staged generation left. */
  EXPECT(ADCLICK_OK, adclick_engine_stage(e, path, n, &s, &error));
  EXPECT_PLAIN(ADCLICK_OK, adclick_engine_close(e));
  EXPECT_PLAIN(ADCLICK_CLOSED, adclick_engine_close(e));
  EXPECT(ADCLICK_CLOSED, adclick_staged_activate(s, NULL, &error));
  EXPECT(ADCLICK_CLOSED, adclick_engine_stage(e, path, n, &s, &error));
  EXPECT(ADCLICK_CLOSED, adclick_engine_feature(e, "age", 3, &handle, &error));
  CHECK(adclick_kernel(e)[0] == 0);
}

static void test_switches(void) {
  uint32_t reason = 7;
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_switch(NULL, ADCLICK_SWITCH_KIND_AD, 1, 1, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_switch(engine, ADCLICK_SWITCH_KIND_AD, 0, 1, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_switch(engine, 3, 1, 1, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_switched(engine, UINT32_MAX, 1, &reason, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_switched(engine, ADCLICK_SWITCH_KIND_AD, 1, NULL, &error));
  CHECK(reason == 7);
  EXPECT(ADCLICK_OK, adclick_engine_switched(engine, ADCLICK_SWITCH_KIND_AD, 0, &reason, &error));
  CHECK(reason == 0);
}

static void test_scorer_options(void) {
  adclick_scorer *s = NULL;
  adclick_scorer_options o;
  memset(&o, 0, sizeof o);
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_scorer_new(engine, NULL, NULL, &error));
  EXPECT(ADCLICK_BAD_STRUCT_SIZE, adclick_scorer_new(engine, &o, &s, &error));
  o.struct_size = sizeof o;
  o.flags = 1;
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_scorer_new(engine, &o, &s, &error));
  o.flags = 0;
  o.reserved = 1;
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_scorer_new(engine, &o, &s, &error));
  o.reserved = 0;
  o.max_candidates = 1048577;
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_scorer_new(engine, &o, &s, &error));
  o.max_candidates = UINT32_MAX;
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_scorer_new(engine, &o, &s, &error));
  CHECK(s == NULL);
  EXPECT_PLAIN(ADCLICK_OK, adclick_scorer_free(NULL));
}

static void test_requests(void) {
  adclick_request r = request;
  REFUSED(ADCLICK_INVALID_ARGUMENT, NULL);
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_scorer_score(NULL, &r, values, candidates, candidate_values, out.pctr, NULL,
                                                        NULL, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_scorer_decide(NULL, &r, values, candidates, candidate_values, out.winners, 2,
                                                         NULL, NULL, &error));

  /* struct_size: too small, absurd, and larger with and without something in the tail. */
  const uint32_t sizes[] = {0, 3, 4, 60, 63, sizeof r + 4097, UINT32_MAX}; /* the first version had 64 bytes */
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    r.struct_size = sizes[i];
    REFUSED(ADCLICK_BAD_STRUCT_SIZE, &r);
  }
  struct {
    adclick_request known;
    uint8_t later[24];
  } newer;
  memset(&newer, 0, sizeof newer);
  newer.known = request;
  newer.known.struct_size = sizeof newer;
  newer.known.candidate_size = 0; /* a header in which candidates have grown states their size */
  REFUSED(ADCLICK_BAD_STRUCT_SIZE, &newer.known);
  newer.known.candidate_size = sizeof(adclick_candidate);
  newer.later[23] = 1;
  REFUSED(ADCLICK_BAD_STRUCT_SIZE, &newer.known);
  newer.later[23] = 0;
  EXPECT(ADCLICK_OK, score(&newer.known));
  CHECK(!untouched());
  out = before;

  /* The same for an output; what this library does not know comes back as 0. */
  for (uint32_t size = 0; size < 32; size++) { /* of the first version */
    before.outcome.struct_size = out.outcome.struct_size = size;
    REFUSED(ADCLICK_BAD_STRUCT_SIZE, &request);
  }
  before.outcome.struct_size = out.outcome.struct_size = UINT32_MAX;
  REFUSED(ADCLICK_BAD_STRUCT_SIZE, &request);
  before.outcome.struct_size = out.outcome.struct_size = sizeof out.outcome;
  struct {
    adclick_outcome known;
    uint64_t later;
    uint64_t beyond;
  } wide = {.known = {.struct_size = sizeof wide.known + sizeof wide.later}, .later = 9, .beyond = 9};
  EXPECT(ADCLICK_OK, adclick_scorer_score(scorer, &request, values, candidates, candidate_values, out.pctr, NULL,
                                          &wide.known, &error));
  CHECK(wide.known.struct_size == sizeof wide.known + sizeof wide.later && wide.known.n_scored == 2);
  CHECK(wide.later == 0 && wide.beyond == 9);
  out = before;

  /* Fields. */
  r = request;
  r.flags = 2;
  REFUSED(ADCLICK_INVALID_ARGUMENT, &r);
  r = request;
  r.reserved = 1;
  REFUSED(ADCLICK_INVALID_ARGUMENT, &r);
  r = request;
  r.utc_offset_s = 86401;
  REFUSED(ADCLICK_INVALID_ARGUMENT, &r);
  r.utc_offset_s = INT32_MIN;
  REFUSED(ADCLICK_INVALID_ARGUMENT, &r);
  r = request;
  r.time_us = INT64_MIN;
  EXPECT(ADCLICK_OK, score(&r));
  r.time_us = INT64_MAX;
  EXPECT(ADCLICK_OK, score(&r));
  out = before;

  /* More candidates than the scorer holds: told before any array is looked at. */
  r = request;
  r.n_candidates = MOST + 1;
  REFUSED(ADCLICK_CAPACITY_EXCEEDED, &r);
  r.n_candidates = UINT32_MAX;
  REFUSED(ADCLICK_CAPACITY_EXCEEDED, &r);

  /* Values of a candidate that are not there, also by overflow. */
  const adclick_candidate good = candidates[1];
  candidates[1].first_value = 3;
  REFUSED(ADCLICK_INVALID_ARGUMENT, &request);
  candidates[1].first_value = UINT32_MAX;
  candidates[1].n_values = UINT32_MAX;
  REFUSED(ADCLICK_INVALID_ARGUMENT, &request);
  candidates[1] = good;

  /* NaN and infinity, of a known feature and of none. */
  const float numbers[] = {NAN, INFINITY, -INFINITY};
  for (size_t i = 0; i < 3; i++) {
    values[0].number = numbers[i];
    REFUSED(ADCLICK_INVALID_VALUE, &request);
    values[0].number = 30;
    candidate_values[3].number = numbers[i];
    REFUSED(ADCLICK_INVALID_VALUE, &request);
    const uint32_t feature = candidate_values[3].feature;
    candidate_values[3].feature = 0xdeadbeef;
    REFUSED(ADCLICK_INVALID_VALUE, &request);
    candidate_values[3].feature = feature;
    candidate_values[3].number = 2;
  }
  values[0].feature = 0xdeadbeef; /* no feature at all is no error: it is counted */
  EXPECT(ADCLICK_OK, score(&request));
  CHECK(out.outcome.n_missing == 2); /* the value that nobody reads, and the feature that got none */
  values[0].feature = 0;
  EXPECT(ADCLICK_OK, score(&request));
  out = before;
  EXPECT(ADCLICK_OK, adclick_engine_feature(engine, "age", 3, &values[0].feature, &error));

  /* Missing arrays. */
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_scorer_score(scorer, &request, NULL, candidates, candidate_values, out.pctr,
                                                        out.pcvr, &out.outcome, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_scorer_score(scorer, &request, values, NULL, candidate_values, out.pctr,
                                                        out.pcvr, &out.outcome, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_scorer_score(scorer, &request, values, candidates, NULL, out.pctr, out.pcvr,
                                                        &out.outcome, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_scorer_score(scorer, &request, values, candidates, candidate_values, NULL,
                                                        out.pcvr, &out.outcome, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_scorer_decide(scorer, &request, values, candidates, candidate_values, NULL, 2,
                                                         out.reasons, &out.outcome, &error));
  EXPECT_SAYS(ADCLICK_BUFFER_TOO_SMALL, "winners has room for 1 entries (max_winners), expected at least 2",
              adclick_scorer_decide(scorer, &request, values, candidates, candidate_values, out.winners, 1, out.reasons,
                                    &out.outcome, &error));
  CHECK(untouched());
  EXPECT_PLAIN(ADCLICK_INVALID_ARGUMENT, adclick_scorer_score(scorer, &request, NULL, NULL, NULL, NULL, NULL, NULL, NULL));
  EXPECT_PLAIN(ADCLICK_INVALID_ARGUMENT, adclick_scorer_score(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL));
  EXPECT_PLAIN(ADCLICK_INVALID_ARGUMENT, adclick_scorer_score_dense(NULL, NULL, 0, 0, NULL, NULL, NULL, NULL));
  EXPECT_PLAIN(ADCLICK_INVALID_ARGUMENT,
               adclick_scorer_decide(NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL));

  /* Explanations: of nothing, of another size, and of a scorer whose last call was refused. */
  adclick_explanation told = {.struct_size = sizeof told};
  EXPECT_SAYS(ADCLICK_INVALID_ARGUMENT,
              "scorer: the scorer's last call was not a decision that succeeded: decide, then explain",
              adclick_scorer_explain(scorer, 0, &told, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_scorer_explain(NULL, 0, &told, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_scorer_explain(scorer, 0, NULL, &error));
  adclick_winner won[2];
  EXPECT(ADCLICK_OK,
         adclick_scorer_decide(scorer, &request, values, candidates, candidate_values, won, 2, NULL, NULL, &error));
  EXPECT(ADCLICK_OK, adclick_scorer_explain(scorer, 0, &told, &error));
  CHECK(told.candidate == 0 && told.n_eligible > 0 && told.struct_size == sizeof told);
  EXPECT_SAYS(ADCLICK_INVALID_ARGUMENT, "candidate: 2, but the last decision had 2 of them, numbered from 0",
              adclick_scorer_explain(scorer, request.n_candidates, &told, &error));
  told.struct_size = 8;
  EXPECT(ADCLICK_BAD_STRUCT_SIZE, adclick_scorer_explain(scorer, 0, &told, &error));
  uint32_t carry = 0;
  int64_t billed = 0;
  for (int i = 0; i < 1000; i++) {
    billed += adclick_bill(&carry, 1999999);
  }
  CHECK(billed == 1999999 && carry == 0 && adclick_bill(&carry, -5) == 0 && adclick_bill(NULL, 2999) == 2);

  /* No candidate at all is no error. */
  r = request;
  r.n_values = r.n_candidates = r.n_candidate_values = 0;
  EXPECT(ADCLICK_OK, adclick_scorer_score(scorer, &r, NULL, NULL, NULL, NULL, NULL, NULL, &error));
  EXPECT(ADCLICK_OK, adclick_scorer_decide(scorer, &r, NULL, NULL, NULL, NULL, 0, NULL, NULL, &error));

  /* Arrays that are not aligned; the addresses are made from numbers, so that this program itself breaks no rule. */
  const uintptr_t base = (uintptr_t)candidate_values;
  EXPECT(ADCLICK_INVALID_ARGUMENT,
         adclick_scorer_score(scorer, &request, (const adclick_value *)(base + 1), candidates, candidate_values, out.pctr,
                              NULL, NULL, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT,
         adclick_scorer_score(scorer, &request, values, (const adclick_candidate *)(base + 4), candidate_values, out.pctr,
                              NULL, NULL, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_scorer_score(scorer, (const adclick_request *)(base + 2), values, candidates,
                                                        candidate_values, out.pctr, NULL, NULL, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_scorer_score(scorer, &request, values, candidates, candidate_values,
                                                        (float *)(base + 1), NULL, NULL, &error));
  CHECK(untouched());
}

static void test_dense(void) {
  float x[4] = {0, 0, 0, 0};
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_scorer_score_dense(scorer, x, 2, 2, out.pctr, NULL, &out.outcome, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_scorer_score_dense(scorer, NULL, 2, 2, out.pctr, NULL, &out.outcome, &error));
  EXPECT(ADCLICK_CAPACITY_EXCEEDED, adclick_scorer_score_dense(scorer, x, MOST + 1, 2, out.pctr, NULL, &out.outcome,
                                                               &error));
  EXPECT(ADCLICK_CAPACITY_EXCEEDED, adclick_scorer_score_dense(scorer, x, UINT32_MAX, UINT32_MAX, out.pctr, NULL,
                                                               &out.outcome, &error));
  /* "age", "device", "creative" and "price" are 1, 2, 4 and 1 columns. */
  float wide[8] = {0, 0, 0, 0, 0, 0, 0, NAN};
  EXPECT(ADCLICK_INVALID_VALUE, adclick_scorer_score_dense(scorer, wide, 1, 8, out.pctr, NULL, &out.outcome, &error));
  CHECK(untouched());
  wide[7] = 0;
  EXPECT(ADCLICK_OK, adclick_scorer_score_dense(scorer, wide, 1, 8, out.pctr, NULL, &out.outcome, &error));
  CHECK(out.pctr[0] > 0 && out.pctr[0] < 1 && out.outcome.n_scored == 1);
  out = before;
}

static void test_auction(void) {
  const float pctr[2] = {0.1f, 0.2f};
  uint32_t n = 7;
  adclick_auction_options o;
  memset(&o, 0, sizeof o);
  adclick_scorer *const memories[] = {NULL, scorer};
  for (size_t i = 0; i < 2; i++) {
    adclick_scorer *const m = memories[i];
    o.struct_size = 0;
    EXPECT(ADCLICK_BAD_STRUCT_SIZE,
           adclick_auction_run(m, &o, candidates, pctr, NULL, 2, out.winners, 2, out.reasons, &n, &error));
    o.struct_size = sizeof o;
    o.candidate_size = sizeof(adclick_candidate);
    o.winner_size = sizeof(adclick_winner);
    EXPECT(ADCLICK_INVALID_ARGUMENT,
           adclick_auction_run(m, NULL, candidates, pctr, NULL, 2, out.winners, 2, out.reasons, &n, &error));
    EXPECT(ADCLICK_INVALID_ARGUMENT,
           adclick_auction_run(m, &o, NULL, pctr, NULL, 2, out.winners, 2, out.reasons, &n, &error));
    EXPECT(ADCLICK_INVALID_ARGUMENT,
           adclick_auction_run(m, &o, candidates, NULL, NULL, 2, out.winners, 2, out.reasons, &n, &error));
    EXPECT(ADCLICK_INVALID_ARGUMENT,
           adclick_auction_run(m, &o, candidates, pctr, NULL, 2, NULL, 2, out.reasons, &n, &error));
    EXPECT(ADCLICK_INVALID_ARGUMENT,
           adclick_auction_run(m, &o, candidates, pctr, NULL, 2, out.winners, 2, out.reasons, NULL, &error));
    EXPECT(ADCLICK_BUFFER_TOO_SMALL,
           adclick_auction_run(m, &o, candidates, pctr, NULL, 2, out.winners, 0, out.reasons, &n, &error));
    EXPECT_SAYS(ADCLICK_CAPACITY_EXCEEDED,
                m == NULL ? "candidates: 4294967295, a request has at most 1048576: split it"
                          : "candidates: 4294967295, this scorer was sized for 4096: make one with a larger limit",
                adclick_auction_run(m, &o, candidates, pctr, NULL, UINT32_MAX, out.winners, 2, out.reasons, &n, &error));
    const double squashes[] = {-1, 1.5, (double)NAN};
    for (size_t s = 0; s < 3; s++) {
      o.squash = squashes[s];
      EXPECT(ADCLICK_INVALID_ARGUMENT,
             adclick_auction_run(m, &o, candidates, pctr, NULL, 2, out.winners, 2, out.reasons, &n, &error));
    }
    o.squash = 0;
    o.reserve_micros[3] = -1;
    EXPECT(ADCLICK_INVALID_ARGUMENT,
           adclick_auction_run(m, &o, candidates, pctr, NULL, 2, out.winners, 2, out.reasons, &n, &error));
    o.reserve_micros[3] = 0;
    o.score_floor_micros = INT64_MIN;
    EXPECT(ADCLICK_INVALID_ARGUMENT,
           adclick_auction_run(m, &o, candidates, pctr, NULL, 2, out.winners, 2, out.reasons, &n, &error));
    o.score_floor_micros = 0;
    CHECK(untouched() && n == 7);
    /* Bad bids are no errors. */
    const adclick_candidate good = candidates[0];
    candidates[0].bid_kind = 99;
    EXPECT(ADCLICK_OK, adclick_auction_run(m, &o, candidates, pctr, NULL, 2, out.winners, 2, out.reasons, &n, &error));
    CHECK(n == 1 && out.winners[0].candidate == 1);
    CHECK(out.reasons[0] == ADCLICK_REASON_UNKNOWN_BID_KIND && out.reasons[1] == ADCLICK_REASON_WON);
    candidates[0] = good;
    n = 7;
    out = before;
    EXPECT(ADCLICK_OK, adclick_auction_run(m, &o, NULL, NULL, NULL, 0, NULL, 0, NULL, &n, &error));
    CHECK(n == 0);
    n = 7;
  }
}

/* Errors of every size: the message is cut, closed with 0, and nothing is written past the size. */
static void test_errors(void) {
  for (uint32_t size = 0; size <= sizeof(adclick_error); size++) {
    adclick_error small;
    memset(&small, 0x55, sizeof small);
    small.struct_size = size;
    CHECK(adclick_engine_open("/nowhere/at/all", 15, NULL, &(adclick_engine *){NULL}, &small) == ADCLICK_IO);
    CHECK(small.struct_size == size && small.status == (size < 8 ? 0x55555555 : ADCLICK_IO));
    const unsigned char *const bytes = (const unsigned char *)&small;
    for (uint32_t i = size < 8 ? 8 : size; i < sizeof small; i++) {
      CHECK(bytes[i] == 0x55);
    }
    CHECK(size <= 8 || memchr(small.message, 0, size - 8) != NULL);
  }
}

/* One scorer, two threads: one of them is told. */
static atomic_int stop;
static atomic_long busy;

static void *use(void *unused) {
  static adclick_candidate many[MOST];
  static float pctr[MOST];
  adclick_request r = request;
  r.n_candidates = MOST;
  r.n_values = r.n_candidate_values = 0;
  while (!atomic_load(&stop)) {
    const int32_t status = adclick_scorer_score(scorer, &r, NULL, many, NULL, pctr, NULL, NULL, NULL);
    if (status != ADCLICK_OK && status != ADCLICK_BUSY) {
      return (void *)"the other thread got neither ADCLICK_OK nor ADCLICK_BUSY";
    }
    atomic_fetch_add(&busy, status == ADCLICK_BUSY);
  }
  return unused;
}

static void test_busy(void) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, use, NULL) == 0);
  int32_t status = ADCLICK_OK;
  for (long i = 0; i < 5000000 && status == ADCLICK_OK; i++) {
    status = score(&request);
  }
  CHECK(status == ADCLICK_BUSY && error.status == ADCLICK_BUSY);
  atomic_store(&stop, 1);
  void *told = NULL;
  pthread_join(thread, &told);
  CHECK(told == NULL);
  out = before;
  /* All of them were counted, whoever was told. */
  static char text[1 << 17];
  char line[100];
  size_t length = 0;
  EXPECT(ADCLICK_OK, adclick_engine_metrics(engine, text, sizeof text - 1, &length, &error));
  snprintf(line, sizeof line, "\nadclick_requests_total{call=\"score\",status=\"busy\"} %ld\n", atomic_load(&busy) + 1);
  CHECK(strstr(text, line) != NULL);
  EXPECT(ADCLICK_OK, score(&request));
  out = before;
}

static void test_closed(void) {
  EXPECT_PLAIN(ADCLICK_OK, adclick_engine_close(engine));
  REFUSED(ADCLICK_CLOSED, &request);
  const float x[8] = {0};
  EXPECT(ADCLICK_CLOSED, adclick_scorer_score_dense(scorer, x, 1, 8, out.pctr, NULL, &out.outcome, &error));
  CHECK(untouched());
  /* Its memory still serves an auction. */
  const float pctr[2] = {0.1f, 0.2f};
  const adclick_auction_options o = {.struct_size = sizeof o, .candidate_size = sizeof(adclick_candidate), .winner_size = sizeof(adclick_winner)};
  uint32_t n = 0;
  EXPECT(ADCLICK_OK, adclick_auction_run(scorer, &o, candidates, pctr, NULL, 2, out.winners, 2, NULL, &n, &error));
  CHECK(n == 1);
  EXPECT_PLAIN(ADCLICK_OK, adclick_scorer_free(scorer));
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: bad_calls BUNDLE\n");
    return 2;
  }
  test_engine(argv[1]);
  test_errors();
  EXPECT(ADCLICK_OK, adclick_engine_open(argv[1], strlen(argv[1]), NULL, &engine, &error));
  const adclick_scorer_options options = {.struct_size = sizeof options, .max_candidates = MOST};
  EXPECT(ADCLICK_OK, adclick_scorer_new(engine, &options, &scorer, &error));
  const char *const names[] = {"age", "device", "creative", "price"};
  uint32_t features[4];
  for (int i = 0; i < 4; i++) {
    EXPECT(ADCLICK_OK, adclick_engine_feature(engine, names[i], strlen(names[i]), &features[i], &error));
  }
  if (failures > 0) {
    return 1;
  }
  values[0] = (adclick_value){.feature = features[0], .number = 30};
  values[1] = (adclick_value){.feature = features[1], .id = 1};
  for (uint32_t c = 0; c < 2; c++) {
    candidate_values[2 * c] = (adclick_value){.feature = features[2], .id = c};
    candidate_values[2 * c + 1] = (adclick_value){.feature = features[3], .number = 2};
    candidates[c] = (adclick_candidate){.ad_key = c + 1, .bid_kind = ADCLICK_BID_KIND_CPC, .bid_micros = 1000000,
                                        .first_value = 2 * c, .n_values = 2};
  }
  request = (adclick_request){.struct_size = sizeof request, .candidate_size = sizeof(adclick_candidate), .winner_size = sizeof(adclick_winner), .request_id = 1, .n_values = 2, .n_candidates = 2,
                              .n_candidate_values = 4, .n_slots = 2};
  memset(&before, 0x2a, sizeof before);
  before.outcome.struct_size = sizeof before.outcome;
  out = before;

  test_switches();
  test_scorer_options();
  test_requests();
  test_dense();
  test_auction();
  test_busy();
  test_closed();

  CHECK(strcmp(adclick_status_name(-11), "ADCLICK_BUSY") == 0);
  CHECK(strcmp(adclick_status_name(12345), "unknown status") == 0);
  CHECK(strcmp(adclick_reason_name(2), "below_reserve") == 0);
  CHECK(strcmp(adclick_reason_name(UINT32_MAX), "unknown reason") == 0);
  CHECK(adclick_hash(NULL, 0) == adclick_hash("", 0) && adclick_hash("a", 1) != adclick_hash("b", 1));
  CHECK(adclick_abi_version() == ADCLICK_ABI_VERSION);
  if (failures > 0) {
    fprintf(stderr, "%d failures\n", failures);
  }
  return failures > 0;
}
