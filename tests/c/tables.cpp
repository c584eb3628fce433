// `tables BUNDLE`: what adclick.hpp says of tables. The bundle is that of tables.c.

#include <adclick.hpp>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace {

int failures = 0;

#define CHECK(what)                                              \
  do {                                                           \
    if (!(what)) {                                               \
      std::fprintf(stderr, "%d: not so: %s\n", __LINE__, #what); \
      ++failures;                                                \
    }                                                            \
  } while (false)

constexpr std::int64_t now = INT64_C(1700000001) * 1000000;

float score(adclick::scorer &scorer, std::uint64_t ad) {
  adclick::request request{};
  request.time_us = now;
  std::vector<adclick::candidate> candidates(1);
  candidates[0].ad_key = ad;
  candidates[0].bid_kind = ADCLICK_BID_KIND_CPC;
  float pctr[1];
  scorer.score({request, {}, candidates, {}}, pctr);
  return pctr[0];
}

void test(const char *bundle) {
  adclick::engine_options options;
  options.overlay_rows = 20;
  options.overlay_max_age_s = 3600;
  const adclick::engine engine = adclick::engine::open(bundle, options);
  adclick::scorer scorer = engine.make_scorer();
  const std::uint32_t ads = engine.table("ads");
  const std::uint32_t clicks = engine.column(ads, "clicks");
  CHECK(engine.try_table("").code() == ADCLICK_INVALID_ARGUMENT);
  CHECK(engine.try_column(0, "n").code() == ADCLICK_INVALID_ARGUMENT);

  const float before = score(scorer, 3);
  const std::vector<adclick::row> rows{{3, 0, 1}, {4, 0, 1}};
  const adclick::value values[]{{clicks, 5.0F, 0}};
  const adclick::upsert_result added = engine.upsert(ads, rows, values, adclick::operation::increment, now);
  CHECK(added.n_applied == 2 && added.n_stale == 0 && added.n_evicted == 0);
  CHECK(score(scorer, 3) > before);
  CHECK(engine.upsert(ads, rows, values, adclick::operation::whole_row, now).n_applied == 2);
  CHECK(engine.upsert(ads, rows, values, adclick::operation::columns, now - 1000000).n_stale == 2);
  CHECK(engine.upsert(ads, {}, {}).n_applied == 0);
  CHECK(engine.try_upsert(0, rows, values).code() == ADCLICK_INVALID_ARGUMENT);
  CHECK(engine.try_upsert(ads, rows, {}).code() == ADCLICK_INVALID_ARGUMENT);

  const adclick::table_info info = engine.table_info(ads);
  CHECK(info.rows == 100 && info.overlay_rows == 2 && info.overlay_capacity == 20);
  CHECK(engine.try_table_info(0).code() == ADCLICK_INVALID_ARGUMENT);

  // Metrics: as a string, and into memory of the caller's.
  const std::string text = engine.metrics();
  CHECK(text.find("\nadclick_table_overlay_rows{table=\"ads\"} 2\n") != std::string::npos && text.back() == '\n');
  std::vector<char> room(10);
  std::size_t needed = 0;
  CHECK(engine.try_metrics(room, &needed).code() == ADCLICK_BUFFER_TOO_SMALL && needed > 1000);
  room.resize(needed + 100);
  const std::size_t length = engine.try_metrics(room).value();
  CHECK(std::string(room.data(), length).find("# TYPE adclick_requests_total counter\n") != std::string::npos);
  CHECK(adclick::engine().try_metrics().code() == ADCLICK_INVALID_ARGUMENT);

  // Rows go again, by key or all of them.
  const std::uint64_t gone[]{1U << 30U};
  CHECK(engine.remove_rows(ads, gone) == 0 && engine.table_info(ads).overlay_rows == 2);
  CHECK(engine.clear_rows(ads) == 2 && engine.table_info(ads).overlay_rows == 0);

  options.no_overlays = options.lazy_tables = true;
  const adclick::engine without = adclick::engine::open(bundle, options);
  CHECK(without.table_info(without.table("ads")).overlay_capacity == 0);

  // The ad cache: what it takes is told before it is there.
  const adclick::ad_cache off = engine.ad_cache();
  CHECK(off.state == ADCLICK_AD_CACHE_STATE_OFF && off.bytes == 0 && off.bytes_needed > 0);
  options.ad_cache_mib = 1;
  const adclick::engine keeps = adclick::engine::open(bundle, options);
  const adclick::ad_cache on = keeps.ad_cache();
  CHECK(on.state == ADCLICK_AD_CACHE_STATE_ON && on.n_ads == 100 && on.bytes == off.bytes_needed);
  adclick::scorer fast = keeps.make_scorer();
  adclick::scorer slow = without.make_scorer();
  const float difference = score(fast, 30) - score(slow, 30);
  CHECK(difference < 1e-6F && difference > -1e-6F);
  CHECK(adclick::engine().try_ad_cache().code() == ADCLICK_INVALID_ARGUMENT);

  const std::uint64_t ids[]{12, 34};
  CHECK(adclick::key(ids) == adclick_key(ids, 2) && adclick::key({ids, 1}) == 12);
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: tables BUNDLE\n");
    return 2;
  }
  test(argv[1]);
  return failures == 0 ? 0 : 1;
}
