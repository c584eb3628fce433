/* `inputs BUNDLE`: what the model of tests/surface/small.rs reads, and what is wrong with requests for it. Ends with 0 when all is told as
 * it should be. */

#include <adclick.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

#define CHECK(what)                                             \
  do {                                                          \
    if (!(what)) {                                              \
      fprintf(stderr, "%d: not so: %s\n", __LINE__, #what);     \
      failures++;                                               \
    }                                                           \
  } while (0)

static adclick_error error = {.struct_size = sizeof error};
static adclick_engine *engine;

static uint32_t feature(const char *name) {
  uint32_t handle = 0;
  CHECK(adclick_engine_feature(engine, name, strlen(name), &handle, &error) == ADCLICK_OK);
  return handle;
}

static char text[4096];

/* Checks a request with one candidate, into `text`. */
static adclick_check checked(const adclick_value *values, uint32_t n, const adclick_value *own, uint32_t n_own) {
  const adclick_request request = {
      .struct_size = sizeof request, .candidate_size = sizeof(adclick_candidate), .winner_size = sizeof(adclick_winner), .n_values = n, .n_candidates = 1, .n_candidate_values = n_own};
  const adclick_candidate candidate = {.ad_key = 1, .n_values = n_own};
  adclick_check found = {.struct_size = sizeof found};
  size_t length = 0;
  CHECK(adclick_engine_check(engine, &request, values, &candidate, own, &found, text, sizeof text - 1, &length,
                             &error) == ADCLICK_OK);
  text[length] = 0;
  /* With too little room, the counts and the length needed are written all the same. */
  adclick_check again = {.struct_size = sizeof again};
  size_t needed = 0;
  if (length > 0) {
    CHECK(adclick_engine_check(engine, &request, values, &candidate, own, &again, NULL, 0, &needed, &error) ==
          ADCLICK_BUFFER_TOO_SMALL);
    CHECK(needed == length && memcmp(&found, &again, sizeof found) == 0);
  }
  CHECK(adclick_engine_check(engine, &request, values, &candidate, own, &again, NULL, 0, NULL, &error) == ADCLICK_OK);
  CHECK(memcmp(&found, &again, sizeof found) == 0);
  return found;
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: inputs BUNDLE\n");
    return 2;
  }
  if (adclick_engine_open(argv[1], strlen(argv[1]), NULL, &engine, &error) != ADCLICK_OK) {
    fprintf(stderr, "%s\n", error.message);
    return 1;
  }

  adclick_model model = {.struct_size = sizeof model};
  CHECK(adclick_engine_model(engine, &model, &error) == ADCLICK_OK);
  uint64_t generation = 0;
  CHECK(adclick_engine_generation(engine, &generation, &error) == ADCLICK_OK);
  CHECK(model.width == 8 && model.request_width == 3 && model.n_heads == 2 && model.n_inputs == 4);
  CHECK(model.n_features == 4 && model.n_tables == 0 && model.flags == 0 && model.generation == generation);

  static const struct {
    const char *name;
    uint32_t side, kind;
  } expected[] = {{"age", ADCLICK_SIDE_REQUEST, ADCLICK_VALUE_KIND_NUMBER},
                  {"device", ADCLICK_SIDE_REQUEST, ADCLICK_VALUE_KIND_CATEGORY},
                  {"creative", ADCLICK_SIDE_CANDIDATE, ADCLICK_VALUE_KIND_CATEGORY},
                  {"price", ADCLICK_SIDE_CANDIDATE, ADCLICK_VALUE_KIND_NUMBER}};
  for (uint32_t i = 0; i < 4; i++) {
    adclick_model_input input = {.struct_size = sizeof input};
    CHECK(adclick_engine_model_input(engine, i, &input, &error) == ADCLICK_OK);
    CHECK(strcmp(input.name, expected[i].name) == 0 && input.feature == feature(expected[i].name));
    CHECK(input.side == expected[i].side && input.kind == expected[i].kind && input.dim == 1);
    CHECK(input.reading == ADCLICK_READING_PASSED && input.from[0] == 0 && input.generation == generation);
    CHECK(input.flags == (expected[i].kind == ADCLICK_VALUE_KIND_NUMBER ? ADCLICK_INPUT_NUMBER : 0));
  }
  adclick_model_input untouched = {.struct_size = sizeof untouched, .feature = 77};
  CHECK(adclick_engine_model_input(engine, 4, &untouched, &error) == ADCLICK_INVALID_ARGUMENT && untouched.feature == 77);

  const uint32_t age = feature("age"), device = feature("device"), creative = feature("creative"),
                 price = feature("price"), stranger = feature("nobody_reads_this");
  {
    const adclick_value values[] = {{age, 30, 0}, {device, 0, adclick_hash("phone", 5)}};
    const adclick_value own[] = {{creative, 0, 7}, {price, 1.5F, 0}};
    const adclick_check found = checked(values, 2, own, 2);
    CHECK(found.n_problems == 0 && found.n_errors == 0 && found.generation == generation && text[0] == 0);
    CHECK(adclick_engine_input_error(engine, &error) == ADCLICK_OK);
  }
  {
    /* Both sides swapped: what the first one passes is dropped in silence by scoring, but for counts. */
    const adclick_value values[] = {{creative, 0, 7}, {price, 1.5F, 0}};
    const adclick_value own[] = {{age, 30, 0}, {device, 0, 7}};
    const adclick_check found = checked(values, 2, own, 2);
    CHECK(found.n_wrong_side == 4 && found.n_errors == 4 && found.n_missing == 4);
    CHECK(strstr(text, "error: `price` is passed with the request, the model reads it with the candidate (values[1])"));
    CHECK(strstr(text, "error: `age` is passed with the candidate, the model reads it with the request "
                       "(candidate_values[0] of candidate 0)"));

    const adclick_scorer_options options = {.struct_size = sizeof options, .max_candidates = 1};
    adclick_scorer *scorer = NULL;
    CHECK(adclick_scorer_new(engine, &options, &scorer, &error) == ADCLICK_OK);
    const adclick_request request = {
        .struct_size = sizeof request, .candidate_size = sizeof(adclick_candidate), .winner_size = sizeof(adclick_winner), .n_values = 2, .n_candidates = 1, .n_candidate_values = 2};
    const adclick_candidate candidate = {.ad_key = 1, .n_values = 2};
    adclick_outcome outcome = {.struct_size = sizeof outcome};
    float pctr = 0;
    CHECK(adclick_scorer_score(scorer, &request, values, &candidate, own, &pctr, NULL, &outcome, &error) == ADCLICK_OK);
    CHECK(outcome.n_wrong_side == 4 && outcome.n_missing == 8);
    CHECK(adclick_engine_input_error(engine, &error) == ADCLICK_INVALID_VALUE);
    CHECK(strstr(error.message, "`age` is read with the request and was passed with the candidate (1 values, ignored)"));
    CHECK(strstr(error.message, "`price` is read with the candidate"));
    CHECK(adclick_scorer_free(scorer) == ADCLICK_OK);
  }
  {
    const adclick_value values[] = {{age, 0, 30}, {device, 2, 0}, {stranger, 1, 1}, {4000000000U, 1, 1}};
    const adclick_check found = checked(values, 4, NULL, 0);
    CHECK(found.n_wrong_kind == 2 && found.n_unknown == 2 && found.n_missing == 2 && found.n_errors == 4);
    CHECK(strstr(text, "error: `age`: it has id 0x1e and number 0, a number is read (values[0])"));
    CHECK(strstr(text, "error: `device`: it has number 2 and id 0, an id is read (values[1])"));
    CHECK(strstr(text, "error: `nobody_reads_this`: the model has no such input (values[2])"));
    CHECK(strstr(text, "error: handle 4000000000 was never given out by this engine (values[3])"));
    CHECK(strstr(text, "note: `creative` is not passed with candidate 0: none"));
    CHECK(strstr(text, "note: `price` is not passed with candidate 0: none, 0 stands in"));
  }

  {
    /* A number of 0 is one by right where others are not. */
    const adclick_value values[] = {{age, 0, 7}, {age, 2, 0}, {device, NAN, 5}};
    const adclick_check found = checked(values, 3, NULL, 0);
    CHECK(found.n_wrong_kind == 0 && found.n_not_finite == 1 && found.n_repeated == 1 && found.n_errors == 1);
    CHECK(strstr(text, "error: `device` is NaN, scoring refuses it (values[2])"));
    CHECK(strstr(text, "note: `age` is passed more than once, the last value counts (values[1])"));
  }

  /* What a request must have in any case is an error of the call. */
  adclick_request bad = {.struct_size = sizeof bad, .candidate_size = sizeof(adclick_candidate), .winner_size = sizeof(adclick_winner), .utc_offset_s = 90000};
  adclick_check found = {.struct_size = sizeof found, .n_problems = 77};
  CHECK(adclick_engine_check(engine, &bad, NULL, NULL, NULL, &found, NULL, 0, NULL, &error) == ADCLICK_INVALID_ARGUMENT);
  CHECK(found.n_problems == 77);

  CHECK(adclick_engine_close_within(engine, 1000, &error) == ADCLICK_OK);
  CHECK(adclick_engine_close_within(engine, 1000, &error) == ADCLICK_CLOSED);
  CHECK(adclick_engine_model(engine, &model, &error) == ADCLICK_CLOSED);
  return failures != 0;
}
