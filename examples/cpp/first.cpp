// A first program: open a bundle, score one request, decide, print the winners.
//
//   c++ -std=c++17 -Iinclude examples/cpp/first.cpp -Ltarget/release -ladclick -Wl,-rpath,"$PWD/target/release" -o first
//   ./first path/to/bundle [feature]...
//
// The features are names of the model's inputs that are passed with the candidates (`adclick inspect` lists them); each
// candidate gets another number and category for them, so that the model tells the candidates apart.

#include <adclick.hpp>

#include <cinttypes>
#include <cstdio>
#include <string>
#include <vector>

namespace {

constexpr std::uint32_t n_candidates = 5;

bool run(const char *bundle, const std::vector<const char *> &names) {
  // Once, at start: the engine, shared by all threads. It closes itself; whatever fails throws adclick::error.
  const adclick::engine engine = adclick::engine::open(bundle);

  // Once, at start: a handle for each feature, good whichever model is live later.
  std::vector<std::uint32_t> features;
  for (const char *name : names) {
    features.push_back(engine.feature(name));
  }

  // Once for each thread: a scorer. All memory is allocated here, none for a request.
  adclick::scorer scorer = engine.make_scorer(n_candidates);

  // The candidates, and their values in one array: each candidate says which are its own.
  std::vector<adclick::candidate> candidates;
  std::vector<adclick::value> values;
  for (std::uint32_t c = 0; c < n_candidates; ++c) {
    adclick::candidate candidate{};
    candidate.ad_key = 100 + c;
    candidate.bid_kind = ADCLICK_BID_KIND_CPC;
    candidate.bid_micros = 500'000 + 10'000 * std::int64_t{c};  // 0.50 for a click, and a little more each
    candidate.first_value = static_cast<std::uint32_t>(values.size());
    candidate.n_values = static_cast<std::uint32_t>(features.size());
    candidates.push_back(candidate);
    const std::uint64_t category = adclick::hash("category-" + std::to_string(c));
    for (const std::uint32_t feature : features) {
      values.push_back({feature, static_cast<float>(c), category});
    }
  }

  // The request. What the ad server knows of it would travel as values beside it; this one has none of its own.
  adclick::request request{};
  request.request_id = 42;
  request.time_us = 1'700'000'000'000'000;
  request.n_slots = 2;
  const adclick::input input{request, {}, candidates, values};

  // Once, at start: does the live model read what this program passes? Scoring itself only counts what it has no use for.
  const adclick::check found = engine.check(input);
  std::fputs(found.text.c_str(), stderr);
  if (!found.ok()) {
    return false;
  }

  // Probabilities alone, for those who run an auction of their own ...
  std::vector<float> pctr(n_candidates);
  scorer.score(input, pctr);
  for (std::uint32_t c = 0; c < n_candidates; ++c) {
    std::printf("candidate %u: pCTR %.6f\n", c, static_cast<double>(pctr[c]));
  }

  // ... or the whole way to winners and prices. This is the form without exceptions.
  adclick::winner winners[2];
  const adclick::result<adclick::outcome> decided = scorer.try_decide(input, winners);
  if (!decided) {
    std::printf("no decision: %s\n", decided.message());
    return false;
  }
  for (const adclick::winner &w : adclick::span<const adclick::winner>(winners, decided->n_winners)) {
    std::printf("slot %u: candidate %u pays %.6f for a click, eCPM %.6f\n", w.slot, w.candidate,
                static_cast<double>(w.price_micros) / 1e6, static_cast<double>(w.ecpm_micros) / 1e6);
  }
  std::printf("generation %016" PRIx64 " on kernel %s, %u values missing or unknown\n", decided->generation,
              engine.kernel(), decided->n_missing);
  return true;
}

}  // namespace

int main(int argc, char **argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: first BUNDLE [FEATURE]...\n");
    return 2;
  }
  try {
    return run(argv[1], std::vector<const char *>(argv + 2, argv + argc)) ? 0 : 1;
  } catch (const adclick::error &error) {
    std::fprintf(stderr, "first: %s\n", error.what());
    return 1;
  }
}
