/* A first program: open a bundle, score one request, decide, print the winners.
 *
 *   cc -std=c11 -Iinclude examples/c/first.c -Ltarget/release -ladclick -Wl,-rpath,"$PWD/target/release" -o first
 *   ./first path/to/bundle [feature]...
 *
 * The features are names of the model's inputs that are passed with the candidates (`adclick inspect` lists them); each
 * candidate gets another number and category for them, so that the model tells the candidates apart. */

#include <adclick.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CANDIDATES = 5, SLOTS = 2, MOST_FEATURES = 16 };

/* Every call returns a status and fills the error that it is given. A server would log it and go on. */
static adclick_error error = {.struct_size = sizeof(adclick_error)};

static void check(int32_t status, const char *what) {
  if (status != ADCLICK_OK) {
    fprintf(stderr, "%s: %s: %s\n", what, adclick_status_name(status), error.message);
    exit(1);
  }
}

int main(int argc, char **argv) {
  if (argc < 2 || argc - 2 > MOST_FEATURES) {
    fprintf(stderr, "usage: first BUNDLE [FEATURE]...\n");
    return 2;
  }

  /* Once, at start: the engine, shared by all threads. NULL stands for default options. */
  adclick_engine *engine = NULL;
  check(adclick_engine_open(argv[1], strlen(argv[1]), NULL, &engine, &error), "open the bundle");

  /* Once, at start: a handle for each feature, good whichever model is live later. */
  uint32_t features[MOST_FEATURES];
  const uint32_t n_features = (uint32_t)argc - 2;
  for (uint32_t f = 0; f < n_features; f++) {
    check(adclick_engine_feature(engine, argv[2 + f], strlen(argv[2 + f]), &features[f], &error), "find a feature");
  }

  /* Once for each thread: a scorer. All memory is allocated here, none for a request. */
  adclick_scorer *scorer = NULL;
  const adclick_scorer_options options = {.struct_size = sizeof options, .max_candidates = CANDIDATES};
  check(adclick_scorer_new(engine, &options, &scorer, &error), "make a scorer");

  /* A request. What the ad server knows of it travels as values beside it; this one has none of its own. */
  const adclick_request request = {
      .struct_size = sizeof request,
      .candidate_size = sizeof(adclick_candidate),
      .winner_size = sizeof(adclick_winner),
      .request_id = 42,
      .time_us = INT64_C(1700000000000000),
      .n_candidates = CANDIDATES,
      .n_candidate_values = CANDIDATES * n_features,
      .n_slots = SLOTS,
  };

  /* The candidates, and their values in one array: each candidate says which are its own. */
  adclick_candidate candidates[CANDIDATES];
  adclick_value values[CANDIDATES * MOST_FEATURES];
  for (uint32_t c = 0; c < CANDIDATES; c++) {
    candidates[c] = (adclick_candidate){
        .ad_key = 100 + c,
        .bid_kind = ADCLICK_BID_KIND_CPC,
        .bid_micros = 500000 + 10000 * (int64_t)c, /* 0.50 for a click, and a little more each */
        .first_value = c * n_features,
        .n_values = n_features,
    };
    char name[32];
    const int length = snprintf(name, sizeof name, "category-%u", (unsigned)c);
    for (uint32_t f = 0; f < n_features; f++) {
      values[c * n_features + f] = (adclick_value){
          .feature = features[f],
          .number = (float)c,
          .id = adclick_hash(name, (size_t)length),
      };
    }
  }

  /* Once, at start: does the live model read what this program passes? Scoring itself only counts what it has no use for. */
  adclick_check found = {.struct_size = sizeof found};
  char faults[4096];
  size_t length = 0;
  const int32_t told = adclick_engine_check(engine, &request, NULL, candidates, values, &found, faults, sizeof faults,
                                            &length, &error);
  check(told, "check a request");
  fprintf(stderr, "%.*s", (int)length, faults);
  if (found.n_errors > 0) {
    return 1;
  }

  /* Probabilities alone, for those who run an auction of their own ... */
  float pctr[CANDIDATES];
  check(adclick_scorer_score(scorer, &request, NULL, candidates, values, pctr, NULL, NULL, &error), "score");
  for (uint32_t c = 0; c < CANDIDATES; c++) {
    printf("candidate %u: pCTR %.6f\n", (unsigned)c, (double)pctr[c]);
  }

  /* ... or the whole way to winners and prices. */
  adclick_winner winners[SLOTS];
  adclick_outcome outcome = {.struct_size = sizeof outcome};
  check(adclick_scorer_decide(scorer, &request, NULL, candidates, values, winners, SLOTS, NULL, &outcome, &error),
        "decide");
  for (uint32_t w = 0; w < outcome.n_winners; w++) {
    printf("slot %u: candidate %u pays %.6f for a click, eCPM %.6f\n", (unsigned)winners[w].slot,
           (unsigned)winners[w].candidate, (double)winners[w].price_micros / 1e6,
           (double)winners[w].ecpm_micros / 1e6);
  }
  printf("generation %016llx on kernel %s, %u values missing or unknown\n", (unsigned long long)outcome.generation,
         adclick_kernel(engine), (unsigned)outcome.n_missing);

  adclick_scorer_free(scorer);
  adclick_engine_close(engine);
  return 0;
}
