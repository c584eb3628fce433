#include "consent.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "request.hpp"

namespace adserver {
namespace {

using json::kind;
using json::value;

constexpr std::size_t max_sections = 64;
constexpr std::uint64_t max_section = 255;

// The bits of a text in base64url without padding, the highest first. Who reads past the end, or a letter that is none, gets zeros
// and a `bad` reader.
class bits {
 public:
  explicit bits(std::string_view text) : text_(text) {
    bad_ = text.empty() || std::any_of(text.begin(), text.end(), [](char c) { return digit(c) < 0; });
  }

  [[nodiscard]] bool bad() const { return bad_; }
  void skip(std::size_t n) {
    at_ += n;
    bad_ = bad_ || at_ > 6 * text_.size();
  }
  std::uint64_t read(std::size_t width) {
    const std::size_t begin = at_;
    skip(width);
    std::uint64_t number = 0;
    for (std::size_t i = begin; !bad_ && i < at_; ++i) {
      number = number << 1 | (static_cast<unsigned>(digit(text_[i / 6])) >> (5 - i % 6) & 1U);
    }
    return number;
  }
  // A sum of Fibonacci numbers, the smallest first, that ends with two ones.
  std::uint64_t fibonacci() {
    std::uint64_t sum = 0;
    std::uint64_t one = 1;
    std::uint64_t two = 2;
    for (bool before = false; !bad_;) {
      const bool bit = read(1) == 1;
      if (bit && before) {
        return sum;
      }
      sum += bit ? one : 0;
      const std::uint64_t next = one + two;
      one = two;
      two = next;
      before = bit;
      bad_ = bad_ || one > 1000;
    }
    return 0;
  }

 private:
  static int digit(char c) {
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '-'             ? 62
           : c == '_'             ? 63
                                  : -1;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool bad_ = false;
};

// What stands before the first separator, which is taken away with it.
std::string_view next_part(std::string_view &rest, char separator) {
  const std::size_t end = rest.find(separator);
  const std::string_view part = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  return part;
}

bool ranges_have(bits &from, std::uint64_t vendor) {
  bool found = false;
  for (std::uint64_t n = from.read(12); n > 0 && !from.bad(); --n) {
    const bool is_range = from.read(1) == 1;
    const std::uint64_t first = from.read(16);
    const std::uint64_t last = is_range ? from.read(16) : first;
    found = found || (first <= vendor && vendor <= last);
  }
  return found;
}

bool vendors_have(bits &from, std::uint64_t vendor) {
  const std::uint64_t most = from.read(16);
  if (from.read(1) == 1) {
    return ranges_have(from, vendor);
  }
  if (vendor == 0 || vendor > most) {
    from.skip(most);
    return false;
  }
  from.skip(vendor - 1);
  const bool found = from.read(1) == 1;
  from.skip(most - vendor);
  return found;
}

// A TCF string, version 2: consent to each purpose and to the vendor, and no publisher's restriction against it.
bool tcf_permits(std::string_view text, std::uint64_t vendor) {
  constexpr std::array<unsigned, 4> purposes{1, 3, 4, 7};
  bits core(next_part(text, '.'));
  const bool version = core.read(6) == 2;
  core.skip(146);  // dates, the consent screen, languages, versions, special features
  const std::uint64_t agreed = core.read(24);
  core.skip(24 + 1 + 12);  // legitimate interest, whether purpose 1 was asked for, the publisher's country
  bool permitted = version && vendors_have(core, vendor) && vendor != 0 &&
                   std::all_of(purposes.begin(), purposes.end(), [&](unsigned p) { return (agreed >> (24 - p) & 1U) == 1; });
  if (!permitted) {
    return false;
  }
  vendors_have(core, vendor);  // legitimate interest
  for (std::uint64_t n = core.read(12); n > 0 && !core.bad(); --n) {
    const std::uint64_t purpose = core.read(6);
    const bool requires_consent = core.read(2) == 1;
    const bool ours = std::find(purposes.begin(), purposes.end(), purpose) != purposes.end();
    if (ranges_have(core, vendor) && ours && !requires_consent) {
      permitted = false;
    }
  }
  return permitted && !core.bad();
}

bool us_privacy_permits(std::string_view text) {
  constexpr std::string_view letters = "YNyn-";
  return text.size() == 4 && text[0] == '1' &&
         std::all_of(text.begin() + 1, text.end(), [&](char c) { return letters.find(c) != std::string_view::npos; }) &&
         text[2] != 'Y' && text[2] != 'y';
}

// Where the opt-outs of a US section begin: sale, sharing, targeted advertising, as far as it has them. 0 = no more.
std::array<std::size_t, 3> opt_outs(std::int64_t section) {
  switch (section) {
    case 7:
      return {18, 20, 22};
    case 11:
    case 18:
      return {14, 16};
    default:
      return section >= 24 ? std::array<std::size_t, 3>{16, 18} : std::array<std::size_t, 3>{12, 14};
  }
}

bool us_section_permits(std::int64_t section, std::string_view text) {
  auto others = std::count(text.begin(), text.end(), '.');
  const std::string_view core = next_part(text, '.');
  const std::uint64_t version = bits(core).read(6);
  if (version != 1 && !(version == 2 && section == 7)) {
    return false;
  }
  for (const std::size_t begin : opt_outs(section)) {
    bits from(core);
    from.skip(begin);
    const std::uint64_t opted = begin == 0 ? 0 : from.read(2);
    if (from.bad() || opted == 1 || opted == 3) {
      return false;
    }
  }
  for (; others > 0; --others) {
    bits other(next_part(text, '.'));
    const bool global_control = other.read(2) == 1 && other.read(1) == 1;
    if (other.bad() || global_control) {
      return false;
    }
  }
  return true;
}

// The sections of a GPP string by their numbers.
struct gpp {
  std::array<std::int64_t, max_section> numbers;
  std::array<std::string_view, max_section> texts;
  std::size_t n = 0;

  [[nodiscard]] std::string_view find(std::int64_t number) const {
    const auto end = numbers.begin() + static_cast<std::ptrdiff_t>(n);
    const auto found = std::find(numbers.begin(), end, number);
    return found == end ? std::string_view{} : texts[static_cast<std::size_t>(found - numbers.begin())];
  }
};

bool read_gpp(std::string_view text, gpp &out) {
  std::size_t sections = static_cast<std::size_t>(std::count(text.begin(), text.end(), '~'));
  std::string_view header = next_part(text, '~');
  bits from(next_part(header, '.'));
  const bool known = from.read(6) == 3 && from.read(6) == 1;
  std::uint64_t last = 0;
  for (std::uint64_t n = from.read(12); n > 0 && !from.bad(); --n) {
    const bool is_range = from.read(1) == 1;
    std::uint64_t number = last + from.fibonacci();
    last = is_range ? number + from.fibonacci() : number;
    if (last > max_section || from.bad()) {
      return false;
    }
    for (; number <= last && sections > 0; ++number, --sections) {
      out.numbers[out.n] = static_cast<std::int64_t>(number);
      out.texts[out.n++] = next_part(text, '~');
    }
    if (number <= last) {
      return false;
    }
  }
  return known && !from.bad() && sections == 0;
}

bool section_permits(std::int64_t number, std::string_view text, std::uint64_t vendor) {
  return number == 2 ? tcf_permits(text, vendor)
         : number == 6 ? us_privacy_permits(text)
                       : number >= 7 && number <= 27 && us_section_permits(number, text);
}

// A member, or that of `ext`, where older requests have it.
const value *here_or_ext(const value *object, std::string_view name) {
  if (object == nullptr) {
    return nullptr;
  }
  const value *found = object->find(name);
  const value *ext = found == nullptr ? object->find("ext") : nullptr;
  return ext == nullptr ? found : ext->find(name);
}

// A member's text, empty when it is not there; nothing when it is no text.
std::optional<std::string_view> text_of(const value *found) {
  if (found == nullptr) {
    return std::string_view{};
  }
  return found->type == kind::text ? std::optional(found->text) : std::nullopt;
}

bool gpp_permits(const value *listed, std::string_view text, std::uint64_t vendor) {
  std::array<std::int64_t, max_sections> applies;
  std::size_t n = 0;
  if (listed != nullptr) {
    if (listed->type != kind::list || listed->items.size() > max_sections) {
      return false;
    }
    for (const value &one : listed->items) {
      if (one.type != kind::number || read_integer(one.text, applies[n]) != integer_fault::none ||
          applies[n] != static_cast<std::int32_t>(applies[n])) {
        return false;
      }
      ++n;
    }
  }
  const auto end = applies.begin() + static_cast<std::ptrdiff_t>(n);
  const bool none_applies = std::all_of(applies.begin(), end, [](std::int64_t number) { return number == 0; });
  if (none_applies && (n > 0 || text.empty())) {
    return true;
  }
  gpp found;
  if (!read_gpp(text, found)) {
    return false;
  }
  if (n == 0) {
    std::size_t i = 0;
    while (i < found.n && section_permits(found.numbers[i], found.texts[i], vendor)) {
      ++i;
    }
    return i == found.n;
  }
  return std::all_of(applies.begin(), end, [&](std::int64_t number) {
    return number == 0 || section_permits(number, found.find(number), vendor);
  });
}

}  // namespace

bool permits(const value *regs, const value *user, std::int64_t vendor) noexcept {
  const auto number = static_cast<std::uint64_t>(vendor);
  const value *ext = regs == nullptr ? nullptr : regs->find("ext");
  const std::optional<std::string_view> gpp_text = text_of(here_or_ext(regs, "gpp"));
  const std::optional<std::string_view> us = text_of(here_or_ext(regs, "us_privacy"));
  if ((ext != nullptr && ext->type != kind::object) || !gpp_text || !us || (!us->empty() && !us_privacy_permits(*us))) {
    return false;
  }
  const value *gdpr = here_or_ext(regs, "gdpr");
  if (gdpr != nullptr && !(gdpr->type == kind::number && (gdpr->text == "0" || gdpr->text == "-0"))) {
    std::optional<std::string_view> consent = text_of(here_or_ext(user, "consent"));
    gpp found;
    if (consent && consent->empty() && !gpp_text->empty() && read_gpp(*gpp_text, found)) {
      consent = found.find(2);
    }
    if (!consent || !tcf_permits(*consent, number)) {
      return false;
    }
  }
  return gpp_permits(here_or_ext(regs, "gpp_sid"), *gpp_text, number);
}

}  // namespace adserver
