/* A log of decisions and events from C, and calls that are wrong. `log BUNDLE DIRECTORY` ends with 0 when each gave its status
 * and what it should. */

#include <adclick.h>

#include <stdio.h>
#include <string.h>

#define NOW (INT64_C(1793000000) * 1000000)

static int failures;
static adclick_error error = {.struct_size = sizeof(adclick_error)};

static void expect(int32_t got, int32_t wanted, const char *call, int line) {
  if (got != wanted || (got != ADCLICK_OK && (error.status != got || error.message[0] == 0))) {
    fprintf(stderr, "%d: %s gave %s (%s), expected %s\n", line, call, adclick_status_name(got), error.message,
            adclick_status_name(wanted));
    failures++;
  }
}

#define EXPECT(status, call) expect((call), (status), #call, __LINE__)
#define CHECK(what) \
  do { \
    if (!(what)) { \
      fprintf(stderr, "%d: not so: %s\n", __LINE__, #what); \
      failures++; \
    } \
  } while (0)

int main(int argc, char **argv) {
  if (argc != 3) {
    return 2;
  }
  adclick_engine_options open = {.struct_size = sizeof open, .impression_key = 7, .impression_max_age_s = 3600};
  adclick_engine *engine = NULL;
  adclick_scorer *scorer = NULL;
  EXPECT(ADCLICK_OK, adclick_engine_open(argv[1], strlen(argv[1]), &open, &engine, &error));
  EXPECT(ADCLICK_OK, adclick_scorer_new(engine, NULL, &scorer, &error));

  /* Without a log events are counted, and there is nothing to drain. */
  adclick_log_state state = {.struct_size = sizeof state};
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_log_drain(engine, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_log_state(engine, &state, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_log_error(engine, &error));
  adclick_log_options options = {.struct_size = sizeof options, .flags = 2};
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_log_open(engine, argv[2], strlen(argv[2]), &options, &error));
  options.flags = ADCLICK_LOG_NO_THREAD;
  options.slate_share = 2;
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_log_open(engine, argv[2], strlen(argv[2]), &options, &error));
  options.slate_share = 1;
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_log_open(engine, "", 0, &options, &error));
  EXPECT(ADCLICK_OK, adclick_engine_log_open(engine, argv[2], strlen(argv[2]), &options, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_log_open(engine, argv[2], strlen(argv[2]), &options, &error));

  adclick_request request = {.struct_size = sizeof request, .request_id = 1, .user_key = 5, .time_us = NOW, .n_candidates = 2};
  request.n_slots = 2;
  request.flags = ADCLICK_KEEP_NO_USER;
  request.candidate_size = sizeof(adclick_candidate);
  request.winner_size = sizeof(adclick_winner);
  const adclick_candidate candidates[2] = {{.ad_key = 1, .bid_kind = ADCLICK_BID_KIND_CPM, .bid_micros = 1000000},
                                           {.ad_key = 2, .bid_kind = ADCLICK_BID_KIND_CPM, .bid_micros = 2000000}};
  adclick_winner winners[2];
  adclick_outcome outcome = {.struct_size = sizeof outcome};
  EXPECT(ADCLICK_OK,
         adclick_scorer_decide(scorer, &request, NULL, candidates, NULL, winners, 2, NULL, &outcome, &error));
  CHECK(outcome.n_winners == 2);
  CHECK(winners[0].impression_id != winners[1].impression_id);

  adclick_event event = {.struct_size = sizeof event, .impression_id = winners[0].impression_id, .time_us = NOW + 1000000};
  event.impression_id_high = winners[0].impression_id_high;
  uint32_t seen = 99;
  EXPECT(ADCLICK_OK, adclick_engine_record_impression(engine, &event, &seen, &error));
  CHECK(seen == 0);
  EXPECT(ADCLICK_OK, adclick_engine_record_impression(engine, &event, &seen, &error));
  CHECK(seen == ADCLICK_EVENT_REPEATED);
  EXPECT(ADCLICK_OK, adclick_engine_record_click(engine, &event, NULL, &error));
  event.impression_id ^= 4;
  EXPECT(ADCLICK_OK, adclick_engine_record_click(engine, &event, &seen, &error));
  CHECK(seen == ADCLICK_EVENT_FORGED);
  event.impression_id ^= 4;
  event.time_us = NOW + INT64_C(4000) * 1000000;
  event.duration_us = 5000000;
  EXPECT(ADCLICK_OK, adclick_engine_record_dwell(engine, &event, &seen, &error));
  CHECK(seen == ADCLICK_EVENT_EXPIRED);
  event.time_us = NOW - INT64_C(200) * 1000000;
  EXPECT(ADCLICK_OK, adclick_engine_record_viewable(engine, &event, &seen, &error));
  CHECK(seen == ADCLICK_EVENT_EARLY);
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_record_click(engine, &event, &seen, &error)); /* clicks take no time */
  event.duration_us = 0;
  event.time_us = NOW;
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_record_feedback(engine, &event, &seen, &error));
  event.feedback = ADCLICK_FEEDBACK_HIDDEN;
  EXPECT(ADCLICK_OK, adclick_engine_record_feedback(engine, &event, &seen, &error));
  CHECK(seen == 0);
  event.feedback = 0;
  adclick_event order = {.struct_size = sizeof order, .time_us = NOW, .user_key = 5, .advertiser_key = 3};
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_record_conversion(engine, &order, &seen, &error));
  order.order_id = 8;
  order.conversion_kind = ADCLICK_CONVERSION_RETRACTED;
  EXPECT(ADCLICK_OK, adclick_engine_record_conversion(engine, &order, &seen, &error));
  order.flags = 2;
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_record_conversion(engine, &order, &seen, &error));
  order.struct_size = 3;
  EXPECT(ADCLICK_BAD_STRUCT_SIZE, adclick_engine_record_conversion(engine, &order, &seen, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_record_click(engine, NULL, &seen, &error));

  EXPECT(ADCLICK_OK, adclick_log_drain(engine, &error));
  EXPECT(ADCLICK_OK, adclick_engine_log_error(engine, &error));
  EXPECT(ADCLICK_OK, adclick_engine_log_state(engine, &state, &error));
  CHECK(state.decisions == 2 && state.slates == 1 && state.events == 8 && state.lost_decisions == 0);
  CHECK(state.waiting == 0 && state.failures == 0 && state.status == ADCLICK_OK && state.bytes > 0);
  EXPECT(ADCLICK_OK, adclick_scorer_free(scorer));
  EXPECT(ADCLICK_OK, adclick_engine_close(engine));
  EXPECT(ADCLICK_CLOSED, adclick_engine_record_click(engine, &event, &seen, &error));

  /* The other door, and another key: ids of the first engine are forged here. */
  open.impression_key = 8;
  snprintf(open.log_directory, sizeof open.log_directory, "%s", argv[2]);
  EXPECT(ADCLICK_OK, adclick_engine_open(argv[1], strlen(argv[1]), &open, &engine, &error));
  EXPECT(ADCLICK_OK, adclick_engine_record_click(engine, &event, &seen, &error));
  CHECK(seen == ADCLICK_EVENT_FORGED);
  EXPECT(ADCLICK_OK, adclick_engine_close_within(engine, 5000, &error));
  return failures == 0 ? 0 : 1;
}
