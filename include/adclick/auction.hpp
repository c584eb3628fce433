// The auction alone. A part of adclick.hpp: include that.

#ifndef ADCLICK_AUCTION_HPP
#define ADCLICK_AUCTION_HPP

#include "result.hpp"
#include "scorer.hpp"
#include "types.hpp"

#include <cstddef>
#include <cstdint>

namespace adclick {

// adclick_auction_run: the auction alone, on probabilities of the caller's. `pcvr` and `reasons` may be empty. With a
// scorer its memory is used and nothing is allocated. Returns how many of `winners` were filled.
[[nodiscard]] inline result<std::uint32_t> try_run_auction(adclick::scorer *memory, adclick_auction_options options,
                                                           span<const candidate> candidates, span<const float> pctr,
                                                           span<const float> pcvr, span<winner> winners,
                                                           span<std::uint32_t> reasons = {}) noexcept {
  const std::size_t n = candidates.size();
  if (!detail::fits(n) || !detail::fits(winners.size())) {
    return detail::too_long();
  }
  if (pctr.size() != n || !(pcvr.empty() || pcvr.size() == n) || !(reasons.empty() || reasons.size() == n)) {
    return failure(ADCLICK_INVALID_ARGUMENT, "pctr, pcvr and reasons: expected one entry for each candidate");
  }
  options.struct_size = sizeof options;
  options.candidate_size = sizeof(candidate);
  options.winner_size = sizeof(winner);
  std::uint32_t filled = 0;
  failure why;
  if (adclick_auction_run(memory == nullptr ? nullptr : memory->handle(), &options, detail::or_null(candidates),
                          detail::or_null(pctr), detail::or_null(pcvr), static_cast<std::uint32_t>(n),
                          detail::or_null(winners), static_cast<std::uint32_t>(winners.size()),
                          detail::or_null(reasons), &filled, why.raw()) != ADCLICK_OK) {
    return why;
  }
  return filled;
}
inline std::uint32_t run_auction(adclick::scorer *memory, const adclick_auction_options &options,
                                 span<const candidate> candidates, span<const float> pctr, span<const float> pcvr,
                                 span<winner> winners, span<std::uint32_t> reasons = {}) {
  return try_run_auction(memory, options, candidates, pctr, pcvr, winners, reasons).value();
}

// Bills single impressions at prices per 1000 and carries what is left over (adclick_bill). Keep one for each account that is
// billed; `thousandths` of a micro is what to store of it.
struct carry {
  std::uint32_t thousandths = 0;

  // What to bill for one impression, in micros.
  std::int64_t bill(std::int64_t price_micros) noexcept { return adclick_bill(&thousandths, price_micros); }
};

}  // namespace adclick

#endif  // ADCLICK_AUCTION_HPP
