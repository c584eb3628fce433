/* Values in columns: what a server knows of all its candidates travels as a block, handles once, and then a row of numbers (or ids)
 * for each candidate.
 *
 *   cc -std=c11 -Iinclude examples/c/columns.c -Ltarget/release -ladclick -Wl,-rpath,"$PWD/target/release" -o columns
 *   ./columns examples/bundles */

#include <adclick.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ADS = 4, NUMBERS = 2 };

static const char *const ads[ADS] = {"a1", "a2", "a3", "a4"};
/* Click rates and impressions of the last hour. This server knows nothing of a3: the bundle's table has the values. */
static const float numbers[ADS * NUMBERS] = {0.031F, 900, 0.052F, 400, NAN, NAN, 0.02F, 50};

static adclick_error error = {.struct_size = sizeof(adclick_error)};

static void check(int32_t status, const char *what) {
  if (status != ADCLICK_OK) {
    fprintf(stderr, "%s: %s: %s\n", what, adclick_status_name(status), error.message);
    exit(1);
  }
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: columns BUNDLE\n");
    return 2;
  }
  adclick_engine *engine = NULL;
  adclick_scorer *scorer = NULL;
  uint32_t features[NUMBERS] = {0};
  check(adclick_engine_open(argv[1], strlen(argv[1]), NULL, &engine, &error), "open the bundle");
  check(adclick_engine_feature(engine, "ad_ctr_7d", 9, &features[0], &error), "find a feature");
  check(adclick_engine_feature(engine, "ad_impressions_7d", 17, &features[1], &error), "find a feature");
  check(adclick_scorer_new(engine, NULL, &scorer, &error), "make a scorer");

  const adclick_request request = {
      .struct_size = sizeof request,
      .candidate_size = sizeof(adclick_candidate),
      .winner_size = sizeof(adclick_winner),
      .user_key = adclick_hash("u1001", 5),
      .time_us = INT64_C(1793000000000000),
      .n_candidates = ADS,
  };
  adclick_candidate candidates[ADS] = {{0}};
  for (int a = 0; a < ADS; a++) {
    candidates[a].ad_key = adclick_hash(ads[a], strlen(ads[a]));
  }
  /* No columns of ids, two of numbers. NAN is a number that a candidate does not have. */
  const adclick_columns columns = {.struct_size = sizeof columns, .n_numbers = NUMBERS};

  /* Once, at start: does the model read what is passed? */
  adclick_check found = {.struct_size = sizeof found};
  check(adclick_engine_check_columns(engine, &request, NULL, candidates, NULL, &columns, NULL, NULL, features, numbers, &found,
                                     NULL, 0, NULL, &error),
        "check a request");
  if (found.n_errors != 0) {
    fprintf(stderr, "the model does not read what is passed\n");
    return 1;
  }

  float pctr[ADS];
  check(adclick_scorer_score_columns(scorer, &request, NULL, candidates, NULL, &columns, NULL, NULL, features, numbers, pctr,
                                     NULL, NULL, &error),
        "score");
  for (int a = 0; a < ADS; a++) {
    printf("ad %s: pCTR %.6f\n", ads[a], (double)pctr[a]);
  }
  adclick_scorer_free(scorer);
  adclick_engine_close(engine);
  return 0;
}
