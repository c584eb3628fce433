/* `answer BUNDLE requests.bin outputs.bin`: answers the requests of a file through adclick.h. README.md beside it says how. */

#include <adclick.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CANDIDATES = 200 };

static adclick_error error = {.struct_size = sizeof(adclick_error)};

static void check(int good, const char *what) {
  if (!good) {
    fprintf(stderr, "%s: %s\n", what, error.message);
    exit(1);
  }
}

static void *room(size_t count, size_t size) {
  void *const memory = calloc(count == 0 ? 1 : count, size);
  check(memory != NULL, "memory");
  return memory;
}

static void *take(FILE *from, size_t count, size_t size) {
  void *const memory = room(count, size);
  check(fread(memory, size, count, from) == count, "the file of requests ends early");
  return memory;
}

static uint32_t take_u32(FILE *from) {
  uint32_t number;
  check(fread(&number, sizeof number, 1, from) == 1, "the file of requests ends early");
  return number;
}

static void put(FILE *to, const void *what, size_t count, size_t size) {
  check(fwrite(what, size, count, to) == count, "cannot write the outputs");
}

static uint32_t *take_features(FILE *from, uint32_t n, const uint32_t *handles, uint32_t n_handles) {
  uint32_t *const features = take(from, n, sizeof *features);
  for (uint32_t f = 0; f < n; f++) {
    check(features[f] < n_handles, "a column of no name");
    features[f] = handles[features[f]];
  }
  return features;
}

static void name_to_handle(adclick_value *values, uint32_t n, const uint32_t *handles, uint32_t n_handles) {
  for (uint32_t v = 0; v < n; v++) {
    check(values[v].feature < n_handles, "a value of no name");
    values[v].feature = handles[values[v].feature];
  }
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: answer BUNDLE requests.bin outputs.bin\n");
    return 2;
  }
  adclick_engine *engine = NULL;
  check(adclick_engine_open(argv[1], strlen(argv[1]), NULL, &engine, &error) == ADCLICK_OK, "open the bundle");
  adclick_scorer *scorer = NULL;
  const adclick_scorer_options options = {.struct_size = sizeof options, .max_candidates = MAX_CANDIDATES};
  check(adclick_scorer_new(engine, &options, &scorer, &error) == ADCLICK_OK, "make a scorer");

  FILE *const from = fopen(argv[2], "rb");
  FILE *const to = fopen(argv[3], "wb");
  check(from != NULL && to != NULL, "cannot open the files");
  char magic[8];
  check(fread(magic, 8, 1, from) == 1 && memcmp(magic, "ADCLKRQ2", 8) == 0, "no file of requests");
  const uint32_t count = take_u32(from);
  take_u32(from);
  const uint32_t n_names = take_u32(from);
  uint32_t *const handles = room(n_names, sizeof *handles);
  for (uint32_t n = 0; n < n_names; n++) {
    const uint32_t len = take_u32(from);
    char *const name = take(from, len, 1);
    check(adclick_engine_feature(engine, name, len, &handles[n], &error) == ADCLICK_OK, "find a feature");
    free(name);
  }
  const uint32_t head[2] = {count, 0};
  put(to, "ADCLKOU1", 8, 1);
  put(to, head, 2, sizeof *head);

  for (uint32_t r = 0; r < count; r++) {
    adclick_request request;
    memset(&request, 0, sizeof request);
    check(fread(&request, sizeof request, 1, from) == 1, "the file of requests ends early");
    request.struct_size = sizeof request;
    request.candidate_size = sizeof(adclick_candidate);
    request.winner_size = sizeof(adclick_winner);
    const uint32_t n = request.n_candidates, slots = request.n_slots == 0 ? 1 : request.n_slots;
    adclick_value *const values = take(from, request.n_values, sizeof *values);
    adclick_candidate *const candidates = take(from, n, sizeof *candidates);
    adclick_value *const candidate_values = take(from, request.n_candidate_values, sizeof *candidate_values);
    name_to_handle(values, request.n_values, handles, n_names);
    name_to_handle(candidate_values, request.n_candidate_values, handles, n_names);

    adclick_columns columns;
    check(fread(&columns, sizeof columns, 1, from) == 1, "the file of requests ends early");
    uint32_t *const id_features = take_features(from, columns.n_ids, handles, n_names);
    uint64_t *const ids = take(from, (size_t)n * columns.n_ids, sizeof *ids);
    uint32_t *const number_features = take_features(from, columns.n_numbers, handles, n_names);
    float *const numbers = take(from, (size_t)n * columns.n_numbers, sizeof *numbers);

    const uint32_t max_winners = slots < n ? slots : n;
    adclick_winner *const winners = room(max_winners, sizeof *winners);
    uint32_t *const reasons = room(n, sizeof *reasons);
    float *const pctr = room(n, sizeof *pctr), *const pcvr = room(n, sizeof *pcvr);
    adclick_outcome outcome = {.struct_size = sizeof outcome};
    const adclick_status decided =
        adclick_scorer_decide_columns(scorer, &request, values, candidates, candidate_values, &columns, id_features, ids,
                                      number_features, numbers, winners, max_winners, reasons, &outcome, &error);
    const int32_t answer[2] = {decided, 0};
    put(to, answer, 2, sizeof *answer);
    if (answer[0] == ADCLICK_OK) {
      check(adclick_scorer_score_columns(scorer, &request, values, candidates, candidate_values, &columns, id_features, ids,
                                         number_features, numbers, pctr, pcvr, NULL, &error) == ADCLICK_OK,
            "score what was decided");
      for (uint32_t i = 0; i < outcome.n_winners; i++) { /* no two decisions share an id */
        check((winners[i].impression_id | winners[i].impression_id_high) != 0, "name an impression");
        winners[i].impression_id = winners[i].impression_id_high = 0;
      }
      put(to, &outcome, 1, sizeof outcome);
      put(to, winners, outcome.n_winners, sizeof *winners);
      put(to, reasons, n, sizeof *reasons);
      put(to, pctr, n, sizeof *pctr);
      put(to, pcvr, n, sizeof *pcvr);
    }
    free(values);
    free(candidates);
    free(candidate_values);
    free(id_features);
    free(ids);
    free(number_features);
    free(numbers);
    free(winners);
    free(reasons);
    free(pctr);
    free(pcvr);
  }
  check(fgetc(from) == EOF, "something follows the last request");
  free(handles);
  fclose(from);
  check(fclose(to) == 0, "cannot write the outputs");
  adclick_scorer_free(scorer);
  adclick_engine_close(engine);
  return 0;
}
