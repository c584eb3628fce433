/* `sizes BUNDLE`: a program that states the sizes of its candidates and winners, and what the library answers it. Compiled with the
 * present header, and (GROWN) with one in which candidates, winners, request and auction options have a field more; run on the
 * present library, and on one that was built with those fields. All of them print the same, and none makes the library allocate. */

#include <adclick.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 6, CALLS = 200 };

static adclick_error error = {.struct_size = sizeof(adclick_error)};
static unsigned long counting;
static unsigned long allocations;

#ifdef __GLIBC__
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *at, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size) {
  allocations += counting;
  return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
  allocations += counting;
  return __libc_calloc(n, size);
}

void *realloc(void *at, size_t size) {
  allocations += counting;
  return __libc_realloc(at, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
  allocations += counting;
  return __libc_memalign(alignment, size);
}

int posix_memalign(void **at, size_t alignment, size_t size) {
  allocations += counting;
  *at = __libc_memalign(alignment, size);
  return *at == NULL ? 12 : 0;
}
#endif

static void check(int32_t status, const char *what) {
  if (status != ADCLICK_OK) {
    fprintf(stderr, "%s: %s: %s\n", what, adclick_status_name(status), error.message);
    exit(1);
  }
}

static void require(int holds, const char *what) {
  if (!holds) {
    fprintf(stderr, "%s\n%s\n", what, error.message);
    exit(1);
  }
}

/* Refused, and the message names the field. */
static void refused(int32_t status, const char *field) {
  require(status == ADCLICK_BAD_STRUCT_SIZE, field);
  require(strstr(error.message, field) != NULL, field);
}

static void print(const adclick_winner *winners, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    const adclick_winner *w = &winners[i];
    /* Impression ids are random; auctions alone have none. */
    printf("%u %u %a %a %lld %lld %u %u %a\n", (unsigned)w->candidate, (unsigned)w->slot, (double)w->pctr, (double)w->pcvr,
           (long long)w->ecpm_micros, (long long)w->price_micros, (unsigned)w->price_bound, (unsigned)w->runner_up, w->propensity);
  }
}

static adclick_scorer *scorer;
static adclick_request request;
static adclick_value values[1], candidate_values[N];
static adclick_candidate candidates[N];
static adclick_winner winners[3];
static uint32_t reasons[N];

static int32_t decide(void) {
  return adclick_scorer_decide(scorer, &request, values, candidates, candidate_values, winners, 3, reasons, NULL, &error);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    return 2;
  }
  adclick_engine_options options = {.struct_size = sizeof options};
  strcpy(options.kernel, "portable");
  adclick_engine *engine = NULL;
  check(adclick_engine_open(argv[1], strlen(argv[1]), &options, &engine, &error), "open");
  uint32_t age = 0, creative = 0;
  check(adclick_engine_feature(engine, "age", 3, &age, &error), "feature");
  check(adclick_engine_feature(engine, "creative", 8, &creative, &error), "feature");
  const adclick_scorer_options for_n = {.struct_size = sizeof for_n, .max_candidates = N};
  check(adclick_scorer_new(engine, &for_n, &scorer, &error), "scorer");

  values[0] = (adclick_value){.feature = age, .number = 30};
  for (uint32_t c = 0; c < N; c++) {
    candidate_values[c] = (adclick_value){.feature = creative, .id = adclick_hash("creative", c)};
    candidates[c] = (adclick_candidate){.ad_key = 100 + c,
                                        .bid_kind = ADCLICK_BID_KIND_CPC,
                                        .bid_micros = c == 1 ? -1 : 500000 + 1000 * (int64_t)c,
                                        .first_value = c,
                                        .n_values = 1};
  }
  request = (adclick_request){.struct_size = sizeof request,
                              .request_id = 42,
                              .time_us = INT64_C(1700000000000000),
                              .n_values = 1,
                              .n_candidates = N,
                              .n_candidate_values = N,
                              .n_slots = 2,
                              .candidate_size = sizeof(adclick_candidate),
                              .winner_size = sizeof(adclick_winner)};
  adclick_auction_options rules = {.struct_size = sizeof rules,
                                   .n_slots = 2,
                                   .squash = 0.5,
                                   .candidate_size = sizeof(adclick_candidate),
                                   .winner_size = sizeof(adclick_winner)};
  float pctr[N], pcvr[N];
  uint32_t n_winners = 0;

  /* Everything that serves, a few hundred times. The third winner is nobody's: it stays as it is. */
  memset(winners, 0xff, sizeof winners);
  counting = 1;
  for (int call = 0; call < CALLS; call++) {
    check(adclick_scorer_score(scorer, &request, values, candidates, candidate_values, pctr, pcvr, NULL, &error), "score");
    check(decide(), "decide");
  }
  counting = 0;
  for (uint32_t c = 0; c < N; c++) {
    printf("%a %a %s\n", (double)pctr[c], (double)pcvr[c], adclick_reason_name(reasons[c]));
  }
  print(winners, 2);
  for (size_t i = 0; i < sizeof winners[2]; i++) {
    require(((unsigned char *)&winners[2])[i] == 0xff, "written past the winners");
  }
#ifdef GROWN
  require(winners[0].grown == 0 && winners[1].grown == 0, "what a library does not know of winners is 0");
#endif
  counting = 1;
  for (int call = 0; call < CALLS; call++) {
    check(adclick_auction_run(scorer, &rules, candidates, pctr, pcvr, N, winners, 3, reasons, &n_winners, &error), "auction");
  }
  counting = 0;
  require(n_winners == 2, "two winners");
  print(winners, n_winners);
  const adclick_winner lent = winners[1];
  check(adclick_auction_run(NULL, &rules, candidates, pctr, pcvr, N, winners, 3, NULL, &n_winners, &error), "auction alone");
  require(memcmp(&lent, &winners[1], sizeof lent) == 0, "with a scorer and without");
  adclick_check found = {.struct_size = sizeof found};
  check(adclick_engine_check(engine, &request, values, candidates, candidate_values, &found, NULL, 0, NULL, &error), "check");
  printf("%u problems\n", (unsigned)found.n_problems);

  /* Sizes that no header has. Each refusal leaves the winners alone. */
  const uint32_t bad_candidates[] = {1, 48, 55, 57, 60, 4104, UINT32_MAX}, bad_winners[] = {1, 56, 63, 68, 4104, UINT32_MAX};
  adclick_winner before = winners[0];
  counting = 1;
  for (size_t i = 0; i < sizeof bad_candidates / sizeof *bad_candidates; i++) {
    request.candidate_size = rules.candidate_size = bad_candidates[i];
    refused(decide(), "candidate_size");
    refused(adclick_auction_run(scorer, &rules, candidates, pctr, NULL, N, winners, 3, NULL, &n_winners, &error), "candidate_size");
  }
  request.candidate_size = rules.candidate_size = sizeof(adclick_candidate);
  for (size_t i = 0; i < sizeof bad_winners / sizeof *bad_winners; i++) {
    request.winner_size = rules.winner_size = bad_winners[i];
    refused(decide(), "winner_size");
    refused(adclick_auction_run(scorer, &rules, candidates, pctr, NULL, N, winners, 3, NULL, &n_winners, &error), "winner_size");
  }
  request.winner_size = rules.winner_size = sizeof(adclick_winner);
  require(memcmp(&before, &winners[0], sizeof before) == 0, "written by a call that was refused");
#ifdef GROWN
  /* A field that this library may not know: then it is refused, by entry. */
  candidates[4].grown = 1;
  const int32_t status = decide();
  if (status != ADCLICK_OK) {
    refused(status, "candidates[4]");
    refused(adclick_auction_run(scorer, &rules, candidates, pctr, NULL, N, winners, 3, NULL, &n_winners, &error), "candidates[4]");
  }
  candidates[4].grown = 0;
#endif
  /* A program that forgot the sizes is not read with another stride. */
  request.candidate_size = rules.candidate_size = 0;
  refused(decide(), "candidate_size");
  refused(adclick_auction_run(scorer, &rules, candidates, pctr, NULL, N, winners, 3, NULL, &n_winners, &error), "candidate_size");
  request.candidate_size = rules.candidate_size = sizeof(adclick_candidate);
  check(decide(), "decide again");
  counting = 0;
  print(winners, 2);
  if (allocations != 0) {
    fprintf(stderr, "%lu allocations by calls that serve\n", allocations);
    return 1;
  }
  check(adclick_scorer_free(scorer), "free");
  check(adclick_engine_close(engine), "close");
  return 0;
}
