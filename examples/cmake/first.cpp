// The least program: opens a bundle, decides one request between two ads, prints the winner.

#include <adclick.hpp>

#include <cstdio>

int main(int argc, char **argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: first BUNDLE\n");
    return 2;
  }
  try {
    const adclick::engine engine = adclick::engine::open(argv[1]);
    adclick::scorer scorer = engine.make_scorer(2);

    adclick::candidate candidates[2] = {};
    for (adclick::candidate &candidate : candidates) {
      candidate.ad_key = &candidate == candidates ? 1 : 2;
      candidate.bid_kind = ADCLICK_BID_KIND_CPC;
      candidate.bid_micros = 400'000;
    }
    adclick::request request{};
    request.n_slots = 1;
    adclick::winner winner[1];
    const adclick::outcome outcome = scorer.decide({request, {}, candidates, {}}, winner);

    std::printf("libadclick %s, generation %016llx: ", adclick::version(),
                static_cast<unsigned long long>(outcome.generation));
    if (outcome.n_winners == 0) {
      std::printf("no ad wins\n");
    } else {
      std::printf("ad %llu wins at %.6f for a click\n",
                  static_cast<unsigned long long>(candidates[winner[0].candidate].ad_key),
                  static_cast<double>(winner[0].price_micros) / 1e6);
    }
    return 0;
  } catch (const adclick::error &why) {
    std::fprintf(stderr, "%s\n", why.what());
    return 1;
  }
}
