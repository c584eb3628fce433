#include "money.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace adserver::money {
namespace {

// Products of amounts, rates and probabilities need up to 111 bits. Not ISO C++, hence the extension mark.
__extension__ using wide = unsigned __int128;

std::int64_t capped(wide amount) noexcept {
  return amount > static_cast<wide>(most) ? most : static_cast<std::int64_t>(amount);
}

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

// Digits, and a dot and digits if any, as an integer of 10^-places.
std::optional<std::int64_t> fixed(std::string_view text, std::size_t places) noexcept {
  const std::size_t dot = std::min(text.find('.'), text.size());
  const std::string_view units = text.substr(0, dot);
  const std::string_view rest = dot < text.size() ? text.substr(dot + 1) : std::string_view{};
  if (units.empty() || units.size() > 6 || rest.size() > places || (dot < text.size() && rest.empty())) {
    return std::nullopt;
  }
  std::int64_t sum = 0;
  for (const char c : units) {
    if (!is_digit(c)) {
      return std::nullopt;
    }
    sum = sum * 10 + (c - '0');
  }
  for (std::size_t i = 0; i < places; ++i) {
    if (i < rest.size() && !is_digit(rest[i])) {
      return std::nullopt;
    }
    sum = sum * 10 + (i < rest.size() ? rest[i] - '0' : 0);
  }
  return sum;
}

// p = mantissa * 2^-shift, exactly. p is in (0, 1].
struct fraction {
  std::uint32_t mantissa;
  int shift;
};

fraction exact(float p) noexcept {
  int exponent = 0;
  const float part = std::frexp(p, &exponent);
  return {static_cast<std::uint32_t>(std::ldexp(part, 24)), 24 - exponent};
}

}  // namespace

std::optional<std::int64_t> amount(std::string_view text) noexcept { return fixed(text, 6); }

std::optional<std::int64_t> rate(std::string_view text) noexcept {
  const auto found = fixed(text, 9);
  return found && *found > 0 ? found : std::nullopt;
}

std::optional<std::int64_t> floor_micros(std::string_view number) noexcept {
  constexpr std::int64_t limit = 1'000'000'000'000'000;  // 10^9 units
  const bool negative = number.starts_with('-');
  number.remove_prefix(negative ? 1 : 0);
  const std::size_t e = std::min(number.find_first_of("eE"), number.size());
  std::int64_t exponent = 0;
  if (e < number.size()) {
    std::string_view digits = number.substr(e + 1);
    digits.remove_prefix(digits.starts_with('+') ? 1 : 0);
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
    if (read.ec == std::errc::result_out_of_range) {
      exponent = digits.starts_with('-') ? -1'000'000'000 : 1'000'000'000;
    }
    exponent = std::clamp<std::int64_t>(exponent, -1'000'000'000, 1'000'000'000);
  }
  const std::string_view digits = number.substr(0, e);
  const std::size_t dot = std::min(digits.find('.'), digits.size());
  // So many of the digits, the dot left out, come before the decimal point of the amount in micros.
  std::int64_t whole = static_cast<std::int64_t>(dot) + exponent + 6;
  std::int64_t sum = 0;
  bool dropped = false;
  bool some = false;
  for (const char c : digits) {
    if (c == '.') {
      continue;
    }
    const int digit = c - '0';
    some = some || digit != 0;
    if (whole > 0) {
      sum = std::min(sum * 10 + digit, limit);
    } else {
      dropped = dropped || digit != 0;
    }
    --whole;
  }
  for (; whole > 0 && sum > 0 && sum < limit; --whole) {
    sum = std::min(sum * 10, limit);
  }
  if (negative && some) {
    return std::nullopt;
  }
  return std::min(sum + (dropped ? 1 : 0), limit);
}

std::int64_t to_own(std::int64_t micros, std::int64_t rate, round how) noexcept {
  const wide product = static_cast<wide>(micros) * static_cast<wide>(rate);
  return capped((product + (how == round::up ? one - 1 : 0)) / one);
}

std::optional<std::int64_t> price(std::int64_t worth, std::int64_t needed, const least &floor, std::int64_t rate) noexcept {
  const auto from_own = [&](std::int64_t micros) { return static_cast<wide>(micros) * one / static_cast<wide>(rate); };
  const wide in_billionths =
      std::max(static_cast<wide>(floor.floor) * static_cast<wide>(floor.floor_rate), static_cast<wide>(floor.own) * one);
  const wide lowest = (in_billionths + static_cast<wide>(rate - 1)) / static_cast<wide>(rate);
  const std::int64_t highest = capped(from_own(worth));
  if (lowest > static_cast<wide>(highest)) {
    return std::nullopt;
  }
  return std::clamp(capped(from_own(needed)), static_cast<std::int64_t>(lowest), highest);
}

std::int64_t expected_cpm(std::uint32_t bid_kind, const adclick::winner &winner) noexcept {
  if (bid_kind == ADCLICK_BID_KIND_CPM || bid_kind == ADCLICK_BID_KIND_OCPM) {
    return winner.price_micros;
  }
  wide product = static_cast<wide>(winner.price_micros) * 1000;
  int shift = 0;
  const auto times = [&](float p) {
    const fraction f = exact(p);
    product *= f.mantissa;
    shift += f.shift;
  };
  times(winner.pctr);
  if (bid_kind == ADCLICK_BID_KIND_CPA) {
    times(winner.pcvr);
  }
  if (shift >= 127) {
    return product == 0 ? 0 : 1;
  }
  return capped((product + ((static_cast<wide>(1) << shift) - 1)) >> shift);
}

void append(std::string &out, std::int64_t micros) {
  out += std::to_string(micros / 1'000'000);
  if (const std::int64_t rest = micros % 1'000'000; rest != 0) {
    std::string digits = std::to_string(1'000'000 + rest);
    digits.erase(digits.find_last_not_of('0') + 1);
    out += '.';
    out.append(digits, 1);
  }
}

}  // namespace adserver::money
