// Serving by ids: the request says who asks, when, where, and which ads could be shown. What is known of them is found in
// the bundle's tables. Then something happens, is written on top of the tables, and the next request sees it.
//
//   make ids            packs examples/tables into a bundle, compiles this program, and runs it
//   ids BUNDLE          a bundle of examples/schemas/document_tables.toml, or a directory of bundles

#include <adclick.hpp>

#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <vector>

namespace {

struct ad {
  const char *id;
  const char *advertiser;
  std::int64_t bid_micros;  // for a click
};

// The tables do not know the click rate of a4, and nothing of a9: both take the default row's, or the features' defaults.
constexpr ad ads[] = {{"a1", "acme", 500'000},
                      {"a2", "globex", 450'000},
                      {"a3", "initech", 480'000},
                      {"a4", "acme", 520'000},
                      {"a9", "globex", 500'000}};

std::int64_t now_us() {
  using namespace std::chrono;
  return duration_cast<microseconds>(system_clock::now().time_since_epoch()).count();
}

void print_table(const adclick::engine &engine, const char *name) {
  const adclick::table_info info = engine.table_info(engine.table(name));
  const std::int64_t age_s = (now_us() - info.built_us) / 1'000'000;
  const bool stale = info.fresh_for_s != 0 && age_s > static_cast<std::int64_t>(info.fresh_for_s);
  std::printf("table %-15s %" PRIu64 " rows, %" PRId64 " s old%s, %" PRIu64 " written on top (room for %" PRIu64 ")\n",
              name, info.rows, age_s, stale ? " (stale)" : "", info.overlay_rows, info.overlay_capacity);
}

void print_tables(const adclick::engine &engine) {
  for (const char *name : {"users", "ads", "user_advertiser", "user_category"}) {
    print_table(engine, name);
  }
}

void decide(adclick::scorer &scorer, const adclick::input &input) {
  std::vector<adclick::winner> winners(input.candidates.size());
  const adclick::outcome outcome = scorer.decide(input, winners);
  for (std::uint32_t w = 0; w < outcome.n_winners; ++w) {
    const adclick::winner &winner = winners[w];
    std::printf("slot %u: ad %s, pCTR %.6f, pays %.6f for a click\n", winner.slot, ads[winner.candidate].id,
                static_cast<double>(winner.pctr), static_cast<double>(winner.price_micros) / 1e6);
  }
  std::printf("%u values missing or unknown\n", outcome.n_missing);
}

// What a server's event stream would do, on a thread of its own: batches of rows, written on top of the tables.
void stream(const adclick::engine &engine, std::uint64_t user) {
  // Handles, once at start; good whichever bundle is live later.
  const std::uint32_t users = engine.table("users");
  const std::uint32_t user_impressions = engine.column(users, "impressions_7d");
  const std::uint32_t user_clicks = engine.column(users, "clicks_7d");
  const std::uint32_t pairs = engine.table("user_advertiser");
  const std::uint32_t pair_impressions = engine.column(pairs, "impressions");
  const std::uint32_t ad_table = engine.table("ads");
  const std::uint32_t ad_ctr = engine.column(ad_table, "ctr_7d");

  // The user saw three ads and clicked on one. A row says which of the values are its own: here two, from the first on.
  const adclick::value seen[] = {{user_impressions, 3.0F, 0}, {user_clicks, 1.0F, 0}};
  const adclick::row user_row[] = {{user, 0, 2}};
  engine.upsert(users, user_row, seen, adclick::operation::increment);

  // Two of them were ads of acme. The key of a cross table is made of the ids, in the order of the schema.
  const std::uint64_t user_acme[] = {user, adclick::hash("acme")};
  const adclick::value two[] = {{pair_impressions, 2.0F, 0}};
  const adclick::row pair_row[] = {{adclick::key(user_acme), 0, 1}};
  engine.upsert(pairs, pair_row, two, adclick::operation::increment);

  // New click rates for two ads, in one batch: these columns are replaced, the ads' other columns stay.
  const adclick::value rates[] = {{ad_ctr, 0.055F, 0}, {ad_ctr, 0.035F, 0}};
  const adclick::row ad_rows[] = {{adclick::hash("a2"), 0, 1}, {adclick::hash("a4"), 1, 1}};
  const adclick::upsert_result done = engine.upsert(ad_table, ad_rows, rates, adclick::operation::columns);
  std::printf("streamed in: a click, impressions, new click rates of %u ads\n", done.n_applied);
}

void run(const char *bundle) {
  // Once, at start: the engine, shared by all threads, and the handles of what requests carry.
  const adclick::engine engine = adclick::engine::open(bundle);
  const std::uint32_t device = engine.feature("device_type");
  const std::uint32_t placement = engine.feature("placement");
  const std::uint32_t session_depth = engine.feature("session_depth");

  // Once for each thread: a scorer.
  adclick::scorer scorer = engine.make_scorer(1000);
  print_tables(engine);

  // The request: a user id, a time, context. A string id is hashed, as `adclick pack` hashed those of the data files.
  adclick::request request{};
  request.request_id = 42;
  request.user_key = adclick::hash("u1001");
  request.time_us = now_us();
  request.utc_offset_s = 3600;  // the user's local time gives hour and weekday
  request.n_slots = 5;
  const adclick::value context[] = {{device, 0.0F, adclick::hash("mobile")},
                                    {placement, 0.0F, adclick::hash("story")},
                                    {session_depth, 4.0F, 0}};

  // The candidates: an ad id, an advertiser id, and a bid. No values: the tables have them.
  std::vector<adclick::candidate> candidates;
  for (const ad &one : ads) {
    adclick::candidate candidate{};
    candidate.ad_key = adclick::hash(one.id);
    candidate.advertiser_key = adclick::hash(one.advertiser);
    candidate.bid_kind = ADCLICK_BID_KIND_CPC;
    candidate.bid_micros = one.bid_micros;
    candidate.reserve_micros = 50'000;  // 0.05 for a click, the least price
    candidates.push_back(candidate);
  }
  const adclick::input input{request, context, candidates, {}};

  std::printf("user u1001 at %" PRId64 ":\n", request.time_us);
  decide(scorer, input);
  stream(engine, request.user_key);
  // The same request again: what was written counts at once, on all threads.
  decide(scorer, input);
  print_tables(engine);
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: ids BUNDLE\n");
    return 2;
  }
  try {
    run(argv[1]);
  } catch (const adclick::error &error) {
    std::fprintf(stderr, "ids: %s\n", error.what());
    return 1;
  }
  return 0;
}
