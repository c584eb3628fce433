/* `client BUNDLE`: a program as it could be written when the first header came, and what the library answers it. It is
 * compiled with that header (adclick-1.h beside it) and with the present one in its place; then it states the sizes of its entries
 * (SIZES), as programs have to since entries have grown. */

#include "adclick-1.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef OPTIONS
_Static_assert(sizeof(adclick_engine_options) == OPTIONS, "the first version of the options");
#endif

enum { N = 6 };

static adclick_error error = {.struct_size = sizeof(adclick_error)};

static void check(int32_t status, const char *what) {
  if (status != ADCLICK_OK) {
    fprintf(stderr, "%s: %s: %s\n", what, adclick_status_name(status), error.message);
    exit(1);
  }
}

/* The first version's fields of winners. Impression ids are random. */
enum { FIRST_WINNER = 64 };
static void print(const char *what, const void *bytes, size_t size);

static void print_winners(const char *what, adclick_winner *winners, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    memset(&winners[i].impression_id, 0, FIRST_WINNER - offsetof(adclick_winner, impression_id));
    print(what, &winners[i], FIRST_WINNER);
  }
}

static void print(const char *what, const void *bytes, size_t size) {
  printf("%s", what);
  for (size_t i = 0; i < size; i++) {
    printf(" %02x", ((const unsigned char *)bytes)[i]);
  }
  printf("\n");
}

/* The first version's fields but the size, and whether the library wrote past the struct that it was told of. */
static void tell(const char *what, const adclick_outcome *outcome, const unsigned char *after, size_t n) {
  print(what, &outcome->n_winners, 32 - offsetof(adclick_outcome, n_winners));
  size_t written = 0;
  for (size_t i = 0; i < n; i++) {
    written += after[i] != 0xff;
  }
  printf("%zu bytes past it\n", written);
}

int main(int argc, char **argv) {
  if (argc != 2 || adclick_abi_version() < ADCLICK_ABI_VERSION) {
    return 2;
  }
  /* What stands after the options in memory is nothing that the library may read. */
  struct {
    adclick_engine_options options;
    unsigned char after[64];
  } open = {.options = {.struct_size = sizeof open.options, .flags = ADCLICK_COPY, .headroom = 3.0F}};
  memset(open.after, 0xff, sizeof open.after);
  strcpy(open.options.kernel, "portable");
  adclick_engine *engine = NULL;
  check(adclick_engine_open(argv[1], strlen(argv[1]), &open.options, &engine, &error), "open");
  printf("kernel %s\n", adclick_kernel(engine));
  uint32_t age = 0, creative = 0;
  check(adclick_engine_feature(engine, "age", 3, &age, &error), "feature");
  check(adclick_engine_feature(engine, "creative", 8, &creative, &error), "feature");
  adclick_scorer *scorer = NULL;
  const adclick_scorer_options options = {.struct_size = sizeof options, .max_candidates = N};
  check(adclick_scorer_new(engine, &options, &scorer, &error), "scorer");

  const adclick_value values[1] = {{.feature = age, .number = 30}};
  adclick_candidate candidates[N];
  adclick_value candidate_values[N];
  memset(candidates, 0, sizeof candidates);
  for (uint32_t c = 0; c < N; c++) {
    candidate_values[c] = (adclick_value){.feature = creative, .id = adclick_hash("creative", c)};
    candidates[c].ad_key = 100 + c;
    candidates[c].bid_kind = ADCLICK_BID_KIND_CPC;
    candidates[c].bid_micros = c == 1 ? -1 : 500000 + 1000 * (int64_t)c;
    candidates[c].first_value = c;
    candidates[c].n_values = 1;
  }
  adclick_request request;
  memset(&request, 0, sizeof request);
  request.struct_size = sizeof request;
  request.request_id = 42;
  request.time_us = INT64_C(1700000000000000);
  request.n_values = 1;
  request.n_candidates = N;
  request.n_candidate_values = N;
  request.n_slots = 2;
#ifdef SIZES
  request.candidate_size = sizeof(adclick_candidate);
  request.winner_size = sizeof(adclick_winner);
#endif

  float pctr[N], pcvr[N];
  struct {
    adclick_outcome outcome;
    unsigned char after[64];
  } done;
  memset(&done, 0xff, sizeof done);
  done.outcome.struct_size = sizeof done.outcome;
  check(adclick_scorer_score(scorer, &request, values, candidates, candidate_values, pctr, pcvr, &done.outcome, &error),
        "score");
  print("pctr", pctr, sizeof pctr);
  print("pcvr", pcvr, sizeof pcvr);
  tell("scored", &done.outcome, done.after, sizeof done.after);
  adclick_winner winners[2];
  uint32_t reasons[N];
  check(adclick_scorer_decide(scorer, &request, values, candidates, candidate_values, winners, 2, reasons, &done.outcome,
                              &error),
        "decide");
  print_winners("winner", winners, 2);
  tell("decided", &done.outcome, done.after, sizeof done.after);
  for (uint32_t c = 0; c < N; c++) {
    printf("%s\n", adclick_reason_name(reasons[c]));
  }
  const adclick_auction_options rules = {.struct_size = sizeof rules, .n_slots = 2, .squash = 0.5,
#ifdef SIZES
                                         .candidate_size = sizeof(adclick_candidate), .winner_size = sizeof(adclick_winner),
#endif
  };
  uint32_t n_winners = 0;
  check(adclick_auction_run(scorer, &rules, candidates, pctr, pcvr, N, winners, 2, reasons, &n_winners, &error), "auction");
  print_winners("auction", winners, n_winners);

  request.utc_offset_s = 86401;
  const int32_t refused =
      adclick_scorer_decide(scorer, &request, values, candidates, candidate_values, winners, 2, NULL, NULL, &error);
  printf("%s: %s\n", adclick_status_name(refused), error.message);

  adclick_staged *staged = NULL;
  uint64_t generation = 0;
  check(adclick_engine_stage(engine, argv[1], strlen(argv[1]), &staged, &error), "stage");
  check(adclick_staged_activate(staged, &generation, &error), "activate");
  printf("generation %016llx\n", (unsigned long long)generation);
  check(adclick_engine_rollback(engine, &generation, &error), "roll back");
  check(adclick_engine_follow_error(engine, &error), "follow");
  check(adclick_scorer_free(scorer), "free");
  check(adclick_engine_close(engine), "close");
  return 0;
}
