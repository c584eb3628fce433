/* What one call costs from C: nanoseconds of a decision without candidates and of one with 200, on the requests of
 * bindings/go/bench_test.go. `make bench-calls` runs it beside the other languages. */

#include <adclick.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 1000, ADS = 20, SLOTS = 2, TURNS = 41 };

static adclick_error error = {.struct_size = sizeof(adclick_error)};

static void check(int32_t status, const char *what) {
  if (status != ADCLICK_OK) {
    fprintf(stderr, "%s: %s: %s\n", what, adclick_status_name(status), error.message);
    exit(1);
  }
}

static uint64_t key_of(const char *id) { return adclick_hash(id, strlen(id)); }

static double now(void) {
  struct timespec t;
  timespec_get(&t, TIME_UTC);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median_call(adclick_scorer *scorer, const adclick_request *request, const adclick_value *values,
                          const adclick_candidate *candidates, int calls) {
  adclick_winner winners[SLOTS];
  adclick_outcome outcome = {.struct_size = sizeof outcome};
  double turns[TURNS];
  for (int turn = 0; turn < TURNS; turn++) {
    const double start = now();
    for (int call = 0; call < calls; call++) {
      check(adclick_scorer_decide(scorer, request, values, candidates, NULL, winners, SLOTS, NULL, &outcome, &error),
            "decide");
    }
    turns[turn] = (now() - start) / calls;
  }
  qsort(turns, TURNS, sizeof turns[0], by_size);
  return turns[TURNS / 2];
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: calls BUNDLE\n");
    return 2;
  }
  adclick_engine *engine = NULL;
  adclick_scorer *scorer = NULL;
  uint32_t device = 0, depth = 0;
  const adclick_scorer_options options = {.struct_size = sizeof options, .max_candidates = MOST};
  check(adclick_engine_open(argv[1], strlen(argv[1]), NULL, &engine, &error), "open the bundle");
  check(adclick_engine_feature(engine, "device_type", 11, &device, &error), "find a feature");
  check(adclick_engine_feature(engine, "session_depth", 13, &depth, &error), "find a feature");
  check(adclick_scorer_new(engine, &options, &scorer, &error), "make a scorer");

  const char *const advertisers[] = {"acme", "globex", "initech"};
  const adclick_value values[] = {{.feature = device, .id = key_of("mobile")}, {.feature = depth, .number = 4}};
  adclick_candidate candidates[200];
  for (int i = 0; i < 200; i++) {
    char ad[8];
    snprintf(ad, sizeof ad, "a%d", i % ADS);
    candidates[i] = (adclick_candidate){
        .ad_key = key_of(ad) + (uint64_t)(i / ADS),
        .advertiser_key = key_of(advertisers[i % 3]),
        .bid_kind = ADCLICK_BID_KIND_CPC,
        .bid_micros = 400000 + 1000 * i % 50000,
        .reserve_micros = 50000,
    };
  }
  const adclick_request empty = {.struct_size = sizeof empty, .candidate_size = sizeof(adclick_candidate), .winner_size = sizeof(adclick_winner)};
  const adclick_request full = {
      .struct_size = sizeof full,
      .candidate_size = sizeof(adclick_candidate),
      .winner_size = sizeof(adclick_winner),
      .request_id = 42,
      .user_key = key_of("u1001"),
      .time_us = 1790000000000000,
      .utc_offset_s = 3600,
      .n_values = 2,
      .n_candidates = 200,
      .n_slots = SLOTS,
  };
  const double none = median_call(scorer, &empty, NULL, NULL, 20000);
  const double many = median_call(scorer, &full, values, candidates, 200);
  printf("%.1f %.1f\n", none, many);
  check(adclick_scorer_free(scorer), "free the scorer");
  check(adclick_engine_close(engine), "close the engine");
  return 0;
}
