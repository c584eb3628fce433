// What one call costs from C++: as calls.c, through adclick.hpp.

#include <adclick.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

namespace {

constexpr std::size_t turns = 41;

double median_call(adclick::scorer &scorer, const adclick::input &input, int calls) {
  std::array<adclick::winner, 2> winners{};
  std::array<double, turns> times{};
  for (double &time : times) {
    const auto start = std::chrono::steady_clock::now();
    for (int call = 0; call < calls; ++call) {
      scorer.decide(input, winners);
    }
    const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - start;
    time = taken.count() / calls;
  }
  std::sort(times.begin(), times.end());
  return times[turns / 2];
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: calls BUNDLE\n");
    return 2;
  }
  const adclick::engine engine = adclick::engine::open(argv[1]);
  adclick::scorer scorer = engine.make_scorer(1000);
  const std::array<adclick::value, 2> values{{{engine.feature("device_type"), 0, adclick::hash("mobile")},
                                              {engine.feature("session_depth"), 4, 0}}};
  const std::array<const char *, 3> advertisers{"acme", "globex", "initech"};
  std::vector<adclick::candidate> candidates;
  for (std::uint32_t i = 0; i < 200; ++i) {
    adclick::candidate candidate{};
    candidate.ad_key = adclick::hash("a" + std::to_string(i % 20)) + i / 20;
    candidate.advertiser_key = adclick::hash(advertisers[i % 3]);
    candidate.bid_kind = ADCLICK_BID_KIND_CPC;
    candidate.bid_micros = 400'000 + std::int64_t{1000} * i % 50'000;
    candidate.reserve_micros = 50'000;
    candidates.push_back(candidate);
  }
  adclick::request request{};
  const double none = median_call(scorer, {request, {}, {}, {}}, 20'000);
  request.request_id = 42;
  request.user_key = adclick::hash("u1001");
  request.time_us = 1'790'000'000'000'000;
  request.utc_offset_s = 3600;
  request.n_slots = 2;
  const double many = median_call(scorer, {request, values, candidates, {}}, 200);
  std::printf("%.1f %.1f\n", none, many);
}
