/* Rows written on top of tables, and calls that are wrong. `tables BUNDLE BUNDLE_WITHOUT_TABLES` ends with 0 when each
 * gave its status and what it should.
 *
 * The bundle has the table "ads": 100 ads with the columns "n" (f32), "v" (a vector of 4), "id" (one u32), "ids" (two u64)
 * and "clicks" (f32, 10 everywhere), built at BUILT_US, which the model reads by ad_key; and the table "users". */

#include <adclick.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#define BUILT_US (INT64_C(1700000000) * 1000000)
#define NOW (BUILT_US + 1000000)

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

static adclick_engine *engine;
static adclick_scorer *scorer;
static uint32_t ads, n, v, id, ids, clicks;

/* The score of an ad by its id alone. */
static float score(uint64_t ad) {
  adclick_request request = {.struct_size = sizeof request, .candidate_size = sizeof(adclick_candidate), .winner_size = sizeof(adclick_winner), .user_key = 1, .time_us = NOW, .n_candidates = 1};
  const adclick_candidate candidate = {.ad_key = ad, .bid_kind = ADCLICK_BID_KIND_CPC, .bid_micros = 1};
  adclick_outcome outcome = {.struct_size = sizeof outcome};
  float pctr = NAN;
  EXPECT(ADCLICK_OK, adclick_scorer_score(scorer, &request, NULL, &candidate, NULL, &pctr, NULL, &outcome, &error));
  return pctr;
}

static adclick_upsert upsert_of(uint32_t flags, uint32_t n_rows, uint32_t n_values) {
  adclick_upsert upsert = {.struct_size = sizeof upsert, .flags = flags, .table = ads, .n_rows = n_rows};
  upsert.n_values = n_values;
  upsert.time_us = NOW;
  return upsert;
}

/* Writes one number of one ad. */
static void put(uint32_t flags, uint64_t ad, uint32_t column, float number) {
  const adclick_upsert upsert = upsert_of(flags, 1, 1);
  const adclick_row row = {.key = ad, .n_values = 1};
  const adclick_value value = {.feature = column, .number = number};
  EXPECT(ADCLICK_OK, adclick_engine_upsert(engine, &upsert, &row, &value, NULL, &error));
}

static void test_writes(void) {
  const float before = score(7);
  CHECK(before == score(7) && before != score(8));
  put(0, 7, clicks, 30.0f);
  const float thirty = score(7);
  CHECK(thirty > before);
  put(ADCLICK_UPSERT_INCREMENT, 7, clicks, -20.0f);
  CHECK(score(7) == before);
  put(ADCLICK_UPSERT_INCREMENT, 7, clicks, 20.0f);
  CHECK(score(7) == thirty);

  /* Two rows, one with a value for every column. */
  const adclick_value values[] = {
      {.feature = clicks, .number = 1.0f},
      {.feature = n, .number = 5.0f},
      {.feature = ids, .id = 1},
      {.feature = ids, .id = 2},
      {.feature = v, .number = 4.0f, .id = 3},
      {.feature = v, .number = 3.0f, .id = 2},
      {.feature = v, .number = 2.0f, .id = 1},
      {.feature = v, .number = 1.0f, .id = 0},
      {.feature = id, .id = 9},
  };
  const adclick_row rows[] = {{.key = 8, .n_values = 9}, {.key = 9, .first_value = 8, .n_values = 1}};
  adclick_upsert upsert = upsert_of(ADCLICK_UPSERT_WHOLE_ROW, 2, 9);
  struct {
    adclick_upsert_result result;
    uint64_t later;
  } out = {.result = {.struct_size = sizeof out}, .later = 7};
  EXPECT(ADCLICK_OK, adclick_engine_upsert(engine, &upsert, rows, values, &out.result, &error));
  CHECK(out.result.n_applied == 2 && out.result.n_stale == 0 && out.result.n_evicted == 0);
  CHECK(out.result.struct_size == sizeof out && out.later == 0); /* what the library does not know becomes 0 */
  CHECK(score(8) != score(9) && score(9) != before);

  /* Older than what is there, and than the table. */
  upsert.time_us = BUILT_US - 1;
  EXPECT(ADCLICK_OK, adclick_engine_upsert(engine, &upsert, rows, values, &out.result, &error));
  CHECK(out.result.n_applied == 0 && out.result.n_stale == 2);

  adclick_table_info info = {.struct_size = sizeof info};
  EXPECT(ADCLICK_OK, adclick_engine_table_info(engine, ads, &info, &error));
  CHECK(info.rows == 100 && info.n_shards == 1 && info.built_us == BUILT_US && info.fresh_for_s == 3600);
  CHECK(info.overlay_rows == 3 && info.overlay_capacity == 50 && info.overlay_evictions == 0);
  CHECK(info.overlay_bytes > 0);

  /* Time 0 is now. */
  const uint64_t one = 1;
  upsert = upsert_of(0, 1, 1);
  upsert.time_us = 0;
  const adclick_row row = {.key = adclick_key(&one, 1), .n_values = 1};
  EXPECT(ADCLICK_OK, adclick_engine_upsert(engine, &upsert, &row, values, &out.result, &error));
  CHECK(out.result.n_applied == 1);
  upsert.time_us = NOW;
  EXPECT(ADCLICK_OK, adclick_engine_upsert(engine, &upsert, &row, values, &out.result, &error));
  CHECK(out.result.n_applied == 0 && out.result.n_stale == 1);

  /* More rows than there is room for: the rest made room. */
  uint32_t evicted = 0;
  for (uint64_t key = 1000; key < 1200; key++) {
    const adclick_row many = {.key = key, .n_values = 1};
    upsert = upsert_of(0, 1, 1);
    EXPECT(ADCLICK_OK, adclick_engine_upsert(engine, &upsert, &many, values, &out.result, &error));
    evicted += out.result.n_evicted;
  }
  EXPECT(ADCLICK_OK, adclick_engine_table_info(engine, ads, &info, &error));
  CHECK(evicted > 0 && info.overlay_evictions == evicted && info.overlay_rows + evicted == 204);
  CHECK(info.overlay_rows <= 80);
}

static void test_bad_upserts(void) {
  adclick_table_info before = {.struct_size = sizeof before};
  EXPECT(ADCLICK_OK, adclick_engine_table_info(engine, ads, &before, &error));
  const adclick_value good[] = {{.feature = clicks, .number = 1.0f}};
  const adclick_row row = {.key = 50, .n_values = 1};
  adclick_upsert_result out = {.struct_size = sizeof out, .n_applied = 7, .n_stale = 7, .n_evicted = 7};
  adclick_upsert upsert = upsert_of(0, 1, 1);
#define REFUSED(status, rows, values) \
  do { \
    EXPECT(status, adclick_engine_upsert(engine, &upsert, rows, values, &out, &error)); \
    CHECK(out.n_applied == 7 && out.n_stale == 7 && out.n_evicted == 7); \
  } while (0)

  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_upsert(NULL, &upsert, &row, good, &out, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_upsert(engine, NULL, &row, good, &out, &error));
  EXPECT(ADCLICK_CLOSED, adclick_engine_upsert((adclick_engine *)&upsert, &upsert, &row, good, &out, &error));
  REFUSED(ADCLICK_INVALID_ARGUMENT, NULL, good);
  REFUSED(ADCLICK_INVALID_ARGUMENT, &row, NULL);
  upsert.struct_size = 31;
  REFUSED(ADCLICK_BAD_STRUCT_SIZE, &row, good);
  upsert = upsert_of(3, 1, 1);
  REFUSED(ADCLICK_INVALID_ARGUMENT, &row, good);
  upsert = upsert_of(4, 1, 1);
  REFUSED(ADCLICK_INVALID_ARGUMENT, &row, good);
  upsert = upsert_of(0, 1, 1);
  upsert.reserved = 1;
  REFUSED(ADCLICK_INVALID_ARGUMENT, &row, good);
  upsert = upsert_of(0, 1, 1);
  upsert.table = 0;
  REFUSED(ADCLICK_INVALID_ARGUMENT, &row, good);
  upsert = upsert_of(0, 1, 1);
  upsert.time_us = -1;
  REFUSED(ADCLICK_INVALID_ARGUMENT, &row, good);
  upsert.time_us = INT64_MAX;
  REFUSED(ADCLICK_INVALID_ARGUMENT, &row, good);

  upsert = upsert_of(0, 1, 1);
  const adclick_row no_key = {.key = 0, .n_values = 1}, past = {.key = 1, .first_value = 1, .n_values = 1};
  const adclick_row overflow = {.key = 1, .first_value = UINT32_MAX, .n_values = UINT32_MAX};
  REFUSED(ADCLICK_INVALID_ARGUMENT, &no_key, good);
  REFUSED(ADCLICK_INVALID_ARGUMENT, &past, good);
  REFUSED(ADCLICK_INVALID_ARGUMENT, &overflow, good);
  const struct {
    adclick_status status;
    adclick_value value;
  } bad[] = {
      {ADCLICK_INVALID_ARGUMENT, {.feature = 0, .number = 1.0f}},
      {ADCLICK_INVALID_ARGUMENT, {.feature = UINT32_MAX, .number = 1.0f}},
      {ADCLICK_INVALID_VALUE, {.feature = clicks, .number = NAN}},
      {ADCLICK_INVALID_VALUE, {.feature = v, .number = INFINITY}},
      {ADCLICK_INVALID_ARGUMENT, {.feature = v, .number = 1.0f, .id = 4}},
      {ADCLICK_INVALID_ARGUMENT, {.feature = v, .number = 1.0f, .id = 0}}, /* the other positions are missing */
      {ADCLICK_INVALID_ARGUMENT, {.feature = id, .id = UINT64_C(1) << 32}},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    /* The good row before it is not written either. */
    const adclick_row rows[] = {{.key = 50, .n_values = 1}, {.key = 51, .first_value = 1, .n_values = 1}};
    const adclick_value values[] = {good[0], bad[i].value};
    upsert = upsert_of(0, 2, 2);
    REFUSED(bad[i].status, rows, values);
    CHECK(strstr(error.message, "rows[1]: values[1]") == error.message);
  }
  upsert = upsert_of(ADCLICK_UPSERT_INCREMENT, 1, 1);
  const adclick_value no_number = {.feature = id, .id = 1};
  REFUSED(ADCLICK_INVALID_ARGUMENT, &row, &no_number);

  out.struct_size = 15;
  upsert = upsert_of(0, 1, 1);
  EXPECT(ADCLICK_BAD_STRUCT_SIZE, adclick_engine_upsert(engine, &upsert, &row, good, &out, &error));
  adclick_table_info after = {.struct_size = sizeof after};
  EXPECT(ADCLICK_OK, adclick_engine_table_info(engine, ads, &after, &error));
  CHECK(memcmp(&before, &after, sizeof before) == 0);
}

static void test_handles(void) {
  uint32_t again = 0, nobody = 7;
  EXPECT(ADCLICK_OK, adclick_engine_table(engine, "ads", 3, &again, &error));
  CHECK(again == ads && ads != 0 && clicks != 0 && clicks != n);
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_table(engine, "", 0, &nobody, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_table(engine, NULL, 3, &nobody, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_table(engine, "\xff", 1, &nobody, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_table(engine, "ads", 3, NULL, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_table(NULL, "ads", 3, &nobody, &error));
  EXPECT(ADCLICK_CLOSED, adclick_engine_table((adclick_engine *)&again, "ads", 3, &nobody, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_column(engine, 0, "n", 1, &nobody, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_column(engine, ads, "", 0, &nobody, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_column(engine, ads, "n", 1, NULL, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_column(NULL, ads, "n", 1, &nobody, &error));
  CHECK(nobody == 7);
  EXPECT(ADCLICK_OK, adclick_engine_table(engine, "nobody's", 8, &nobody, &error));
  adclick_table_info info = {.struct_size = sizeof info};
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_table_info(engine, nobody, &info, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_table_info(engine, ads, NULL, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_table_info(NULL, ads, &info, &error));
  info.struct_size = 8;
  EXPECT(ADCLICK_BAD_STRUCT_SIZE, adclick_engine_table_info(engine, ads, &info, &error));

  const uint64_t pair[] = {12, 34}, unknown[] = {12, 0};
  CHECK(adclick_key(pair, 1) == 12 && adclick_key(pair, 0) == 0 && adclick_key(NULL, 0) == 0);
  CHECK(adclick_key(NULL, 2) == 0 && adclick_key(unknown, 2) == 0);
  CHECK(adclick_key(pair, 2) != 0 && adclick_key(pair, 2) != adclick_key((const uint64_t[]){34, 12}, 2));
}

static void test_engines(const char *path, const char *without) {
  /* A program that was built with the first header: its options end before those of overlays. */
  struct {
    uint32_t struct_size, flags;
    float headroom;
    uint32_t follow_ms;
    char kernel[16];
  } first = {.struct_size = sizeof first};
  adclick_engine *e = NULL;
  EXPECT(ADCLICK_OK,
         adclick_engine_open(path, strlen(path), (const adclick_engine_options *)(const void *)&first, &e, &error));
  uint32_t table = 0;
  adclick_table_info info = {.struct_size = sizeof info};
  EXPECT(ADCLICK_OK, adclick_engine_table(e, "ads", 3, &table, &error));
  EXPECT(ADCLICK_OK, adclick_engine_table_info(e, table, &info, &error));
  CHECK(info.overlay_capacity == 65536);
  adclick_engine_close(e);

  adclick_engine_options o = {.struct_size = sizeof o, .flags = ADCLICK_NO_OVERLAYS | ADCLICK_LAZY_TABLES | ADCLICK_COPY};
  EXPECT(ADCLICK_OK, adclick_engine_open(path, strlen(path), &o, &e, &error));
  EXPECT(ADCLICK_OK, adclick_engine_table(e, "ads", 3, &table, &error));
  EXPECT(ADCLICK_OK, adclick_engine_table_info(e, table, &info, &error));
  CHECK(info.rows == 100 && info.overlay_capacity == 0 && info.overlay_bytes == 0);
  adclick_upsert upsert = upsert_of(0, 0, 0);
  upsert.table = table;
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_upsert(e, &upsert, NULL, NULL, NULL, &error));
  adclick_engine_close(e);

  o.flags = 0;
  o.overlay_rows = UINT32_MAX;
  EXPECT(ADCLICK_CAPACITY_EXCEEDED, adclick_engine_open(path, strlen(path), &o, &e, &error));

  EXPECT(ADCLICK_OK, adclick_engine_open(without, strlen(without), NULL, &e, &error));
  EXPECT(ADCLICK_OK, adclick_engine_table(e, "ads", 3, &table, &error));
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_table_info(e, table, &info, &error));
  upsert.table = table;
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_upsert(e, &upsert, NULL, NULL, NULL, &error));
  CHECK(strstr(error.message, "no table `ads`") != NULL);
  adclick_engine_close(e);
  EXPECT(ADCLICK_CLOSED, adclick_engine_upsert(e, &upsert, NULL, NULL, NULL, &error));
  EXPECT(ADCLICK_CLOSED, adclick_engine_table_info(e, table, &info, &error));
  EXPECT(ADCLICK_CLOSED, adclick_engine_column(e, table, "n", 1, &table, &error));
}

/* What is kept of every ad: stated with and without, and no score differs. */
static void test_ad_cache(const char *path, const char *without, const char *many_ads) {
  adclick_ad_cache off = {.struct_size = sizeof off}, on = off, none = off;
  EXPECT(ADCLICK_OK, adclick_engine_ad_cache(engine, &off, &error));
  CHECK(off.state == ADCLICK_AD_CACHE_STATE_OFF && off.n_ads == 0 && off.bytes == 0 && off.bytes_needed > 0);
  EXPECT(ADCLICK_INVALID_ARGUMENT, adclick_engine_ad_cache(engine, NULL, &error));
  on.struct_size = 31; /* the first version had 32 bytes */
  EXPECT(ADCLICK_BAD_STRUCT_SIZE, adclick_engine_ad_cache(engine, &on, &error));
  on.struct_size = sizeof on;

  const adclick_engine_options options = {.struct_size = sizeof options, .overlay_rows = 50, .ad_cache_mib = 64};
  adclick_engine *const plain_engine = engine;
  adclick_scorer *const plain = scorer, *kept = NULL;
  EXPECT(ADCLICK_OK, adclick_engine_open(path, strlen(path), &options, &engine, &error));
  EXPECT(ADCLICK_OK, adclick_scorer_new(engine, NULL, &kept, &error));
  EXPECT(ADCLICK_OK, adclick_engine_ad_cache(engine, &on, &error));
  CHECK(on.struct_size == sizeof on && on.state == ADCLICK_AD_CACHE_STATE_ON && on.n_ads == 100);
  CHECK(on.bytes == off.bytes_needed && on.bytes_needed == off.bytes_needed);
  /* Ads of the table, and others. */
  for (uint64_t ad = 10; ad <= 1000; ad += 30) {
    scorer = plain;
    const float expected = score(ad);
    scorer = kept;
    CHECK(fabsf(score(ad) - expected) <= 1e-6f);
  }
  const float before = score(7);
  const uint32_t other_ads = ads, other_clicks = clicks;
  EXPECT(ADCLICK_OK, adclick_engine_table(engine, "ads", 3, &ads, &error));
  EXPECT(ADCLICK_OK, adclick_engine_column(engine, ads, "clicks", 6, &clicks, &error));
  put(ADCLICK_UPSERT_INCREMENT, 7, clicks, 20.0f);
  CHECK(score(7) > before);
  ads = other_ads, clicks = other_clicks;
  adclick_scorer_free(kept);
  adclick_engine_close(engine);
  engine = plain_engine, scorer = plain;

  adclick_engine *e = NULL;
  EXPECT(ADCLICK_OK, adclick_engine_open(without, strlen(without), &options, &e, &error));
  EXPECT(ADCLICK_OK, adclick_engine_ad_cache(e, &none, &error));
  CHECK(none.state == ADCLICK_AD_CACHE_STATE_USELESS && none.n_ads == 0 && none.bytes == 0 && none.bytes_needed == 0);
  adclick_engine_close(e);
  EXPECT(ADCLICK_CLOSED, adclick_engine_ad_cache(e, &none, &error));

  /* More than the options allow: served without, and said; with enough it is there. */
  adclick_engine_options little = options;
  little.ad_cache_mib = 1;
  adclick_ad_cache small = {.struct_size = sizeof small};
  EXPECT(ADCLICK_OK, adclick_engine_open(many_ads, strlen(many_ads), &little, &engine, &error));
  EXPECT(ADCLICK_OK, adclick_scorer_new(engine, NULL, &scorer, &error));
  EXPECT(ADCLICK_OK, adclick_engine_ad_cache(engine, &small, &error));
  CHECK(small.state == ADCLICK_AD_CACHE_STATE_TOO_LARGE && small.n_ads == 0 && small.bytes == 0);
  CHECK(small.bytes_needed > UINT64_C(1) << 20 && small.bytes_needed <= UINT64_C(64) << 20);
  const float expected = score(7);
  adclick_scorer_free(scorer);
  adclick_engine_close(engine);
  EXPECT(ADCLICK_OK, adclick_engine_open(many_ads, strlen(many_ads), &options, &engine, &error));
  EXPECT(ADCLICK_OK, adclick_scorer_new(engine, NULL, &scorer, &error));
  EXPECT(ADCLICK_OK, adclick_engine_ad_cache(engine, &on, &error));
  CHECK(on.state == ADCLICK_AD_CACHE_STATE_ON && on.bytes == small.bytes_needed && on.bytes_needed == on.bytes);
  CHECK(fabsf(score(7) - expected) <= 1e-6f);
  adclick_scorer_free(scorer);
  adclick_engine_close(engine);
  engine = plain_engine, scorer = plain;
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: tables BUNDLE BUNDLE_WITHOUT_TABLES BUNDLE_OF_MANY_ADS\n");
    return 2;
  }
  const adclick_engine_options options = {.struct_size = sizeof options, .overlay_rows = 50};
  EXPECT(ADCLICK_OK, adclick_engine_open(argv[1], strlen(argv[1]), &options, &engine, &error));
  EXPECT(ADCLICK_OK, adclick_scorer_new(engine, NULL, &scorer, &error));
  EXPECT(ADCLICK_OK, adclick_engine_table(engine, "ads", 3, &ads, &error));
  const struct {
    const char *name;
    uint32_t *handle;
  } columns[] = {{"n", &n}, {"v", &v}, {"id", &id}, {"ids", &ids}, {"clicks", &clicks}};
  for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
    const char *name = columns[i].name;
    EXPECT(ADCLICK_OK, adclick_engine_column(engine, ads, name, strlen(name), columns[i].handle, &error));
  }
  if (failures == 0) {
    test_handles();
    test_ad_cache(argv[1], argv[2], argv[3]);
    test_writes();
    test_bad_upserts();
    test_engines(argv[1], argv[2]);
  }
  adclick_scorer_free(scorer);
  adclick_engine_close(engine);
  return failures == 0 ? 0 : 1;
}
