/* Serving by ids: the request carries ids, the bundle's tables have the rest. Then a click is written on top of them.
 *
 *   make ids            packs examples/tables into a bundle, compiles this program, and runs it
 *   ids BUNDLE          a bundle of examples/schemas/document_tables.toml, or a directory of bundles
 *
 * examples/cpp/ids.cpp shows more: cross tables, several rows in a batch, how old tables are. */

#include <adclick.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ADS = 3 };

static const char *const ads[ADS] = {"a1", "a2", "a3"};
static const char *const advertisers[ADS] = {"acme", "globex", "initech"};

static adclick_error error = {.struct_size = sizeof(adclick_error)};

static void check(int32_t status, const char *what) {
  if (status != ADCLICK_OK) {
    fprintf(stderr, "%s: %s: %s\n", what, adclick_status_name(status), error.message);
    exit(1);
  }
}

/* A string id as a key, as `adclick pack` made those of the data files. */
static uint64_t key_of(const char *id) { return adclick_hash(id, strlen(id)); }

static void decide(adclick_scorer *scorer, const adclick_request *request, const adclick_value *context,
                   const adclick_candidate *candidates) {
  adclick_winner winners[ADS];
  adclick_outcome outcome = {.struct_size = sizeof outcome};
  check(adclick_scorer_decide(scorer, request, context, candidates, NULL, winners, ADS, NULL, &outcome, &error),
        "decide");
  for (uint32_t w = 0; w < outcome.n_winners; w++) {
    printf("slot %u: ad %s, pCTR %.6f, pays %.6f for a click\n", (unsigned)winners[w].slot, ads[winners[w].candidate],
           (double)winners[w].pctr, (double)winners[w].price_micros / 1e6);
  }
  printf("%u values missing or unknown\n", (unsigned)outcome.n_missing);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: ids BUNDLE\n");
    return 2;
  }

  /* Once, at start: the engine and handles. Once for each thread: a scorer. */
  adclick_engine *engine = NULL;
  adclick_scorer *scorer = NULL;
  uint32_t device = 0, users = 0, clicks = 0;
  check(adclick_engine_open(argv[1], strlen(argv[1]), NULL, &engine, &error), "open the bundle");
  check(adclick_engine_feature(engine, "device_type", 11, &device, &error), "find a feature");
  check(adclick_engine_table(engine, "users", 5, &users, &error), "find a table");
  check(adclick_engine_column(engine, users, "clicks_7d", 9, &clicks, &error), "find a column");
  check(adclick_scorer_new(engine, NULL, &scorer, &error), "make a scorer");

  /* A request: who, when, context. The candidates: which ads, whose, at what bid. No other values travel. */
  const adclick_value context[] = {{.feature = device, .id = key_of("mobile")}};
  const adclick_request request = {
      .struct_size = sizeof request,
      .candidate_size = sizeof(adclick_candidate),
      .winner_size = sizeof(adclick_winner),
      .request_id = 42,
      .user_key = key_of("u1001"),
      .time_us = (int64_t)time(NULL) * 1000000,
      .n_values = 1,
      .n_candidates = ADS,
      .n_slots = ADS,
  };
  adclick_candidate candidates[ADS];
  for (int a = 0; a < ADS; a++) {
    candidates[a] = (adclick_candidate){
        .ad_key = key_of(ads[a]),
        .advertiser_key = key_of(advertisers[a]),
        .bid_kind = ADCLICK_BID_KIND_CPC,
        .bid_micros = 500000,    /* 0.50 for a click */
        .reserve_micros = 50000, /* at least 0.05 */
    };
  }
  printf("user u1001 at %lld:\n", (long long)request.time_us);
  decide(scorer, &request, context, candidates);

  /* The user clicked: one more in the users table. Requests that begin from here on see it. */
  const adclick_value one[] = {{.feature = clicks, .number = 1}};
  const adclick_row row = {.key = request.user_key, .first_value = 0, .n_values = 1};
  const adclick_upsert upsert = {.struct_size = sizeof upsert,
                                 .flags = ADCLICK_UPSERT_INCREMENT,
                                 .table = users,
                                 .n_rows = 1,
                                 .n_values = 1};
  check(adclick_engine_upsert(engine, &upsert, &row, one, NULL, &error), "write on top of a table");
  printf("streamed in: a click\n");
  decide(scorer, &request, context, candidates);

  adclick_table_info info = {.struct_size = sizeof info};
  check(adclick_engine_table_info(engine, users, &info, &error), "ask about a table");
  printf("table users: %llu rows, %lld s old, %llu written on top\n", (unsigned long long)info.rows,
         (long long)((int64_t)time(NULL) - info.built_us / 1000000), (unsigned long long)info.overlay_rows);

  adclick_scorer_free(scorer);
  adclick_engine_close(engine);
  return 0;
}
