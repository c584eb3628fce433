// Values in columns: what a server knows of all its candidates travels as a block, handles once, and then a row of numbers (or
// ids) for each candidate.
//
//   c++ -std=c++17 -Iinclude examples/cpp/columns.cpp -Ltarget/release -ladclick -Wl,-rpath,"$PWD/target/release" -o columns
//   ./columns examples/bundles

#include <adclick.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

namespace {

constexpr const char *ads[] = {"a1", "a2", "a3", "a4"};

void run(const char *bundle) {
  const adclick::engine engine = adclick::engine::open(bundle);
  adclick::scorer scorer = engine.make_scorer(100);
  const std::uint32_t features[] = {engine.feature("ad_ctr_7d"), engine.feature("ad_impressions_7d")};

  adclick::request request{};
  request.user_key = adclick::hash("u1001");
  request.time_us = 1'793'000'000'000'000;
  std::vector<adclick::candidate> candidates;
  for (const char *ad : ads) {
    adclick::candidate candidate{};
    candidate.ad_key = adclick::hash(ad);
    candidates.push_back(candidate);
  }
  // Click rates and impressions of the last hour, a row for each ad. This server knows nothing of a3: a number that is NaN is
  // missing, and the bundle's table has the value.
  const std::vector<float> numbers = {0.031F, 900, 0.052F, 400, NAN, NAN, 0.02F, 50};
  adclick::input input{request, {}, candidates, {}};
  input.columns.number_features = features;
  input.columns.numbers = numbers;

  // Once, at start: does the model read what is passed?
  if (const adclick::check found = engine.check(input); !found.ok()) {
    std::fprintf(stderr, "%s", found.text.c_str());
    return;
  }
  std::vector<float> pctr(candidates.size());
  scorer.score(input, pctr);
  for (std::size_t a = 0; a < pctr.size(); ++a) {
    std::printf("ad %s: pCTR %.6f\n", ads[a], static_cast<double>(pctr[a]));
  }
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: columns BUNDLE\n");
    return 2;
  }
  try {
    run(argv[1]);
  } catch (const adclick::error &why) {
    std::fprintf(stderr, "%s\n", why.what());
    return 1;
  }
  return 0;
}
