// Money in whole micros, converted by exact rates. No binary float holds an amount.

#ifndef ADSERVER_MONEY_HPP
#define ADSERVER_MONEY_HPP

#include <adclick.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace adserver::money {

// Results are at most this, which the engine takes as a bid or a reserve.
inline constexpr std::int64_t most = std::int64_t{1} << 53;
// A rate is the number of billionths of the own currency's unit that a currency's unit is worth.
inline constexpr std::int64_t one = 1'000'000'000;

enum class round : std::uint8_t { down, up };

// What a bid must reach: a floor in micros of the currency of that rate, and the least price in micros of the own one.
struct least {
  std::int64_t floor = 0;
  std::int64_t floor_rate = one;
  std::int64_t own = 0;
};

// An amount of the campaigns file, "12.5", in micros; nothing when it is not written as one.
std::optional<std::int64_t> amount(std::string_view text) noexcept;
// A rate of the campaigns file, "1.0842", in billionths, above 0.
std::optional<std::int64_t> rate(std::string_view text) noexcept;
// A JSON number in micros, rounded up, at most 10^9 units; negative: nothing. Reads the digits.
std::optional<std::int64_t> floor_micros(std::string_view number) noexcept;

// To the own currency.
std::int64_t to_own(std::int64_t micros, std::int64_t rate, round how) noexcept;

// A price of the currency of that rate: `worth` rounded down, or less, `needed` rounded down, where that is enough; never under the
// floor, which is rounded up. Nothing when the ad is not worth its floor. `worth` and `needed` are in the own currency.
std::optional<std::int64_t> price(std::int64_t worth, std::int64_t needed, const least &floor, std::int64_t rate) noexcept;

// What 1000 impressions cost at the winner's price, rounded up: the price times the exact value of the event's probability.
std::int64_t expected_cpm(std::uint32_t bid_kind, const adclick::winner &winner) noexcept;

// Appends units and fraction: 1.25, 3, 0.000001.
void append(std::string &out, std::int64_t micros);

}  // namespace adserver::money

#endif  // ADSERVER_MONEY_HPP
