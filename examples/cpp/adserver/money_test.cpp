// Random floors in many currencies: no price is under its floor, and none above what the ad is worth. The products are compared as
// they are, without the divisions that `money` makes. Exit code 1 and a line when one does not hold.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <random>

#include "money.hpp"

namespace {

namespace money = adserver::money;
__extension__ using wide = unsigned __int128;

constexpr int floors = 100'000;

wide product(std::int64_t a, std::int64_t b) { return static_cast<wide>(a) * static_cast<wide>(b); }

}  // namespace

int main() {
  std::mt19937_64 random(20261130);
  const auto some = [&](int bits) { return static_cast<std::int64_t>(random() >> (64 - 1 - random() % static_cast<unsigned>(bits))) + 1; };
  std::array<std::int64_t, 20> rates;
  std::generate(rates.begin(), rates.end(), [&] { return some(42); });
  rates[0] = money::one;
  const auto any_rate = [&] { return rates[random() % rates.size()]; };
  int bids = 0;
  for (int i = 0; i < floors; ++i) {
    const money::least least{.floor = some(44), .floor_rate = any_rate(), .own = some(20)};
    // About the floor, where rounding decides, in one case of two.
    const std::int64_t floor = money::to_own(least.floor, least.floor_rate, money::round::up);
    const std::int64_t worth = std::max<std::int64_t>(1, random() % 2 == 0 ? some(47) : floor + static_cast<std::int64_t>(random() % 5) - 2);
    const std::int64_t needed = std::min(worth, some(40));
    const std::int64_t rate = any_rate();
    const auto price = money::price(worth, needed, least, rate);
    const auto lowest = std::max(product(least.floor, least.floor_rate), product(least.own, money::one));
    if (!price) {
      // Then one micro of that currency less than the next one above the floor is not enough, or that one is too dear.
      const wide next = (lowest + static_cast<wide>(rate) - 1) / static_cast<wide>(rate);
      if (next * static_cast<wide>(rate) <= product(worth, money::one) && next <= static_cast<wide>(money::most)) {
        std::printf("money_test: floor %d: no bid, though one fits\n", i);
        return 1;
      }
      continue;
    }
    ++bids;
    if (product(*price, rate) < lowest || product(*price, rate) > product(worth, money::one)) {
      std::printf("money_test: floor %d: a price of %lld at %lld is under its floor or above its worth\n", i,
                  static_cast<long long>(*price), static_cast<long long>(rate));
      return 1;
    }
  }
  std::printf("money_test: %d floors in %zu currencies, %d bids\n", floors, rates.size(), bids);
  return bids > floors / 10 && bids < floors ? 0 : 1;
}
