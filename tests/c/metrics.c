/* The metrics of an engine, and what the C boundary adds to them. `metrics BUNDLE` ends with 0 when each call gave its status
 * and the text says what was done. The bundle is that of tables.c. */

#include <adclick.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;
static adclick_error error = {.struct_size = sizeof(adclick_error)};

static void expect(int32_t got, int32_t wanted, const char *call, int line) {
  if (got != wanted) {
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

/* A line that the text must have. */
static void has(const char *text, const char *line) {
  const char *at = strstr(text, line);
  if (at == NULL || (at != text && at[-1] != '\n') || at[strlen(line)] != '\n') {
    fprintf(stderr, "no line %s\n", line);
    failures++;
  }
}

int main(int argc, char **argv) {
  if (argc != 2) {
    return 2;
  }
  adclick_engine *engine = NULL;
  EXPECT(ADCLICK_OK, adclick_engine_open(argv[1], strlen(argv[1]), NULL, &engine, &error));
  adclick_scorer *scorer = NULL;
  EXPECT(ADCLICK_OK, adclick_scorer_new(engine, NULL, &scorer, &error));

  adclick_request request = {.struct_size = sizeof request, .candidate_size = sizeof(adclick_candidate), .winner_size = sizeof(adclick_winner), .user_key = 1, .n_candidates = 2, .n_slots = 1};
  const adclick_candidate candidates[2] = {
      {.ad_key = 1, .bid_kind = ADCLICK_BID_KIND_CPC, .bid_micros = 1000000},
      {.ad_key = 2, .bid_kind = ADCLICK_BID_KIND_CPC, .bid_micros = -1},
  };
  adclick_winner winner;
  float pctr[2] = {0};
  EXPECT(ADCLICK_OK, adclick_scorer_decide(scorer, &request, NULL, candidates, NULL, &winner, 1, NULL, NULL, &error));
  EXPECT(ADCLICK_OK, adclick_scorer_score(scorer, &request, NULL, candidates, NULL, pctr, NULL, NULL, &error));
  /* What the scorer never comes to see is counted as well, once. */
  EXPECT(ADCLICK_BUFFER_TOO_SMALL,
         adclick_scorer_decide(scorer, &request, NULL, candidates, NULL, NULL, 0, NULL, NULL, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT,
         adclick_scorer_decide(scorer, NULL, NULL, candidates, NULL, &winner, 1, NULL, NULL, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_scorer_score(scorer, &request, NULL, NULL, NULL, pctr, NULL, NULL, &error));
  request.struct_size = 1;
  EXPECT(ADCLICK_BAD_STRUCT_SIZE,
         adclick_scorer_score(scorer, &request, NULL, candidates, NULL, pctr, NULL, NULL, &error));
  EXPECT(ADCLICK_CAPACITY_EXCEEDED,
         adclick_scorer_score_dense(scorer, NULL, 1025, 1, NULL, NULL, NULL, &error));
  adclick_auction_options options = {.struct_size = sizeof options, .candidate_size = sizeof(adclick_candidate), .winner_size = sizeof(adclick_winner)};
  uint32_t n_winners = 0;
  pctr[0] = pctr[1] = 0.5F;
  EXPECT(ADCLICK_OK, adclick_auction_run(scorer, &options, candidates, pctr, NULL, 2, &winner, 1, NULL, &n_winners, &error));
  EXPECT(ADCLICK_BUFFER_TOO_SMALL,
         adclick_auction_run(scorer, &options, candidates, pctr, NULL, 2, NULL, 0, NULL, &n_winners, &error));
  /* Memory of nobody's: not this engine's business. */
  EXPECT(ADCLICK_OK, adclick_auction_run(NULL, &options, candidates, pctr, NULL, 2, &winner, 1, NULL, &n_winners, &error));

  /* Too little room: the length that is needed, and nothing else. */
  size_t needed = 0, length = 0;
  EXPECT(ADCLICK_BUFFER_TOO_SMALL, adclick_engine_metrics(engine, NULL, 0, &needed, &error));
  CHECK(needed > 1000 && strstr(error.message, "bytes") != NULL);
  char small[8] = "1234567";
  EXPECT(ADCLICK_BUFFER_TOO_SMALL, adclick_engine_metrics(engine, small, sizeof small, &length, &error));
  CHECK(length >= needed - 64 && length <= needed + 64 && strcmp(small, "1234567") == 0);
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_metrics(engine, small, sizeof small, NULL, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_metrics(engine, NULL, 9, &length, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_metrics(NULL, small, sizeof small, &length, &error));

  /* A block of its own for the sanitizer to watch. */
  const size_t room = needed + 1024;
  char *text = malloc(room);
  if (text == NULL) {
    return 2;
  }
  EXPECT(ADCLICK_OK, adclick_engine_metrics(engine, text, room - 1, &length, &error));
  CHECK(length > 0 && length < room && text[length - 1] == '\n');
  text[length] = '\0';
  CHECK(strlen(text) == length);
  has(text, "adclick_requests_total{call=\"decide\",status=\"ok\"} 1");
  has(text, "adclick_requests_total{call=\"score\",status=\"ok\"} 1");
  has(text, "adclick_requests_total{call=\"decide\",status=\"buffer_too_small\"} 1");
  has(text, "adclick_requests_total{call=\"decide\",status=\"invalid_argument\"} 1");
  has(text, "adclick_requests_total{call=\"score\",status=\"invalid_argument\"} 1");
  has(text, "adclick_requests_total{call=\"score\",status=\"bad_struct_size\"} 1");
  has(text, "adclick_requests_total{call=\"score_dense\",status=\"capacity_exceeded\"} 1");
  has(text, "adclick_requests_total{call=\"auction\",status=\"ok\"} 1");
  has(text, "adclick_requests_total{call=\"auction\",status=\"buffer_too_small\"} 1");
  has(text, "adclick_requests_total{call=\"score\",status=\"internal\"} 0");
  has(text, "adclick_request_duration_seconds_count{call=\"decide\"} 1");
  has(text, "adclick_auction_candidates_total{reason=\"won\"} 2");
  has(text, "adclick_auction_candidates_total{reason=\"invalid_bid\"} 2");
  has(text, "adclick_table_keys_total{table=\"ads\",result=\"found\"} 4");
  has(text, "adclick_table_rows{table=\"ads\"} 100");
  has(text, "adclick_scorers 1");

  /* Freed scorers are remembered. */
  EXPECT(ADCLICK_OK, adclick_scorer_free(scorer));
  EXPECT(ADCLICK_OK, adclick_engine_metrics(engine, text, room - 1, &length, &error));
  text[length] = '\0';
  has(text, "adclick_requests_total{call=\"decide\",status=\"ok\"} 1");
  has(text, "adclick_scorers 0");
  free(text);

  length = 7;
  EXPECT(ADCLICK_OK, adclick_engine_close(engine));
  EXPECT(ADCLICK_CLOSED, adclick_engine_metrics(engine, small, sizeof small, &length, &error));
  CHECK(length == 7);
  return failures == 0 ? 0 : 1;
}
