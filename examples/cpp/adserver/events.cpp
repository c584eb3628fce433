#include "events.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory_resource>
#include <optional>
#include <span>

#include <arpa/inet.h>

#include "json.hpp"
#include "money.hpp"
#include "request.hpp"
#include "response.hpp"

namespace adserver {
namespace {

constexpr std::size_t max_query = 2048;
constexpr std::size_t max_event_body = 4096;
constexpr std::int64_t max_time = 9'007'199'254'740'991;
constexpr std::int64_t max_ms = 86'400'000;
constexpr std::int64_t ahead_us = 60'000'000;

enum class happened : std::uint8_t { win, billed, impression, viewable, click, dwell, conversion, feedback };

struct kind_of_event {
  std::string_view name;
  happened what;
  std::span<const std::string_view> parameters;
};

constexpr std::string_view of_notice[] = {"i", "p"};
constexpr std::string_view of_impression[] = {"i"};
constexpr std::string_view of_stay[] = {"i", "ms"};
constexpr std::string_view of_click[] = {"i", "ad", "e"};
constexpr std::string_view of_conversion[] = {"i",    "advertiser", "order", "click", "user", "value",
                                              "cur",  "kind",       "type",  "time_us", "nouser"};
constexpr std::string_view of_feedback[] = {"i", "what", "answer"};
constexpr kind_of_event kinds[] = {{"win", happened::win, of_notice},
                                   {"billed", happened::billed, of_notice},
                                   {"impression", happened::impression, of_impression},
                                   {"viewable", happened::viewable, of_stay},
                                   {"click", happened::click, of_click},
                                   {"dwell", happened::dwell, of_stay},
                                   {"conversion", happened::conversion, of_conversion},
                                   {"feedback", happened::feedback, of_feedback}};

const kind_of_event *find_kind(std::string_view name) noexcept {
  const auto *found = std::find_if(std::begin(kinds), std::end(kinds), [&](const auto &one) { return one.name == name; });
  return found == std::end(kinds) ? nullptr : found;
}

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

int hex_digit(char c) noexcept {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// A part of a query without its escapes: printable ASCII.
std::string decoded(std::string_view part) {
  std::string out;
  for (std::size_t i = 0; i < part.size(); ++i) {
    char c = part[i] == '+' ? ' ' : part[i];
    if (c == '%') {
      const std::string digits = lowered(part.substr(i + 1, 2));
      const int high = digits.size() == 2 ? hex_digit(digits[0]) : -1;
      const int low = digits.size() == 2 ? hex_digit(digits[1]) : -1;
      if (high < 0 || low < 0) {
        throw invalid{"query", ""};
      }
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (c < ' ' || c > '~') {
      throw invalid{"query", ""};
    }
    out += c;
  }
  return out;
}

// What of a text may be told as a name.
std::string telling(const std::string &name) {
  const bool plain = !name.empty() && name.size() <= 32 &&
                     std::all_of(name.begin(), name.end(), [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
  return plain ? name : "";
}

// The parameters' values by name, checked one by one.
class reader {
 public:
  explicit reader(const std::map<std::string, std::string, std::less<>> &held) : held_(&held) {}

  [[nodiscard]] const std::string *find(std::string_view name) const {
    const auto found = held_->find(name);
    return found == held_->end() ? nullptr : &found->second;
  }
  [[nodiscard]] std::optional<std::string_view> text(std::string_view name, std::size_t most) const {
    const std::string *found = find(name);
    if (found == nullptr) {
      return std::nullopt;
    }
    if (found->empty()) {
      refuse("empty", name);
    }
    if (found->size() > most) {
      refuse("range", name);
    }
    return *found;
  }
  [[nodiscard]] std::string_view need(std::string_view name, std::size_t most) const {
    const auto found = text(name, most);
    if (!found) {
      refuse("missing", name);
    }
    return *found;
  }
  [[nodiscard]] std::optional<std::int64_t> integer(std::string_view name, std::int64_t least, std::int64_t most) const {
    const std::string *found = find(name);
    if (found == nullptr) {
      return std::nullopt;
    }
    std::int64_t number = 0;
    const integer_fault fault = found->empty() ? integer_fault::type : read_integer(*found, number);
    if (fault == integer_fault::type) {
      refuse("type", name);
    }
    if (fault == integer_fault::range || number < least || number > most) {
      refuse("range", name);
    }
    return number;
  }
  // The place of a word in a list, from 0.
  [[nodiscard]] std::optional<std::uint32_t> word(std::string_view name, std::span<const std::string_view> words) const {
    const std::string *found = find(name);
    if (found == nullptr) {
      return std::nullopt;
    }
    const auto at = std::find(words.begin(), words.end(), *found);
    if (at == words.end()) {
      refuse("range", name);
    }
    return static_cast<std::uint32_t>(at - words.begin());
  }
  // An impression: 32 hex digits, and `n` after them when nothing of the user may be kept.
  [[nodiscard]] bool impression(adclick_event &into) const {
    const std::string *found = find("i");
    if (found == nullptr) {
      return false;
    }
    const bool nobody = found->size() == 33 && found->back() == 'n';
    std::uint64_t halves[2] = {0, 0};
    for (std::size_t i = 0; i < 32; ++i) {
      const int digit = found->size() == 32 || nobody ? hex_digit((*found)[i]) : -1;
      if (digit < 0) {
        refuse("type", "i");
      }
      halves[i / 16] = halves[i / 16] << 4 | static_cast<std::uint64_t>(digit);
    }
    if (halves[0] == 0 && halves[1] == 0) {
      refuse("range", "i");
    }
    into.impression_id_high = halves[0];
    into.impression_id = halves[1];
    into.flags = nobody ? ADCLICK_KEEP_NO_USER : 0;
    return true;
  }
  [[noreturn]] static void refuse(const char *error, std::string_view name) { throw invalid{error, std::string(name)}; }

 private:
  const std::map<std::string, std::string, std::less<>> *held_;
};

void read_conversion(const reader &from, const campaigns &all, std::int64_t now, adclick_event &into) {
  const std::string_view advertiser = from.need("advertiser", 256);
  if (std::none_of(all.advertisers.begin(), all.advertisers.end(), [&](const auto &one) { return one.id == advertiser; })) {
    reader::refuse("unknown", "advertiser");
  }
  into.advertiser_key = adclick::hash(advertiser);
  into.order_id = adclick::hash(from.need("order", 128));
  if (const auto click = from.text("click", 64)) {
    into.click_id = adclick::hash(*click);
  }
  if (const auto user = from.text("user", 256)) {
    into.user_key = adclick::hash(*user);
  }
  std::int64_t micros = 0;
  if (const std::string *value = from.find("value")) {
    const auto read = money::amount(*value);
    if (!read) {
      reader::refuse("type", "value");
    }
    micros = *read;
  }
  const std::int64_t rate = all.rate(from.text("cur", 3).value_or(all.currency));
  if (rate == 0) {
    reader::refuse("unknown", "cur");
  }
  into.value_micros = money::to_own(micros, rate, money::round::down);
  constexpr std::string_view kinds_of_order[] = {"new", "restated", "retracted"};
  into.conversion_kind = from.word("kind", kinds_of_order).value_or(0);
  into.conversion_type = static_cast<std::uint32_t>(from.integer("type", 0, 2'147'483'647).value_or(0));
  into.time_us = from.integer("time_us", 1, std::min(max_time, now + ahead_us)).value_or(now);
  if (from.integer("nouser", 0, 1) == 1) {
    into.flags = ADCLICK_KEEP_NO_USER;
  }
}

// What an engine saw, as it is told: the gravest first.
struct seen_as {
  std::uint32_t bit;
  int status;
  std::string_view fate;
};
constexpr seen_as sights[] = {{ADCLICK_EVENT_FORGED, 403, "forged"},
                              {ADCLICK_EVENT_EXPIRED, 410, "expired"},
                              {ADCLICK_EVENT_EARLY, 422, "early"},
                              {ADCLICK_EVENT_REPEATED, 409, "repeated"},
                              {0, 204, "recorded"}};

}  // namespace

std::uint64_t address_class(std::string_view address) {
  const std::string text(address);
  std::array<unsigned char, 16> bytes{};
  std::size_t begin = 0;
  std::size_t n = 0;
  if (inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) {
    n = 3;
  } else if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) {
    constexpr unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const bool is_v4 = std::memcmp(bytes.data(), mapped, sizeof mapped) == 0;
    begin = is_v4 ? 12 : 0;
    n = is_v4 ? 3 : 6;
  }
  if (n == 0) {
    return 0;
  }
  std::string digits;
  for (std::size_t i = begin; i < begin + n; ++i) {
    digits += hex(bytes[i]).substr(14);
  }
  return adclick::hash(digits);
}

std::uint32_t agent_class(std::string_view user_agent, std::string_view purpose) {
  const auto has = [](std::string_view text, std::initializer_list<std::string_view> words) {
    const std::string low = lowered(text);
    return std::any_of(words.begin(), words.end(), [&](std::string_view word) { return low.find(word) != std::string::npos; });
  };
  if (has(purpose, {"prefetch", "prerender", "preview"})) {
    return ADCLICK_AGENT_PREFETCH;
  }
  if (has(user_agent, {"bot", "crawl", "spider", "slurp", "headless", "curl/", "wget/", "python-", "go-http-client"})) {
    return ADCLICK_AGENT_ROBOT;
  }
  return user_agent.empty() ? ADCLICK_AGENT_UNSTATED : ADCLICK_AGENT_BROWSER;
}

event_desk::event_desk(adclick::engine &engine, const campaigns &all) : engine_(&engine), all_(&all) {
  for (const ad &one : all.ads) {
    ads_.emplace(one.id, &one);
  }
}

bool event_desk::knows(std::string_view name) noexcept { return find_kind(name) != nullptr; }

event_answer event_desk::take(std::string_view name, std::string_view query, std::string_view body, const client &from) const {
  try {
    if (query.size() > max_query || body.size() > max_event_body) {
      throw invalid{"too_large", ""};
    }
    if (!query.empty() && !body.empty()) {
      throw invalid{"conflict", ""};
    }
    parameters held;
    const kind_of_event &kind = *find_kind(name);
    const auto is_known = [&](const std::string &one) {
      return std::find(kind.parameters.begin(), kind.parameters.end(), one) != kind.parameters.end();
    };
    // The first by name is told, since objects have no order.
    std::optional<std::string> unknown;
    std::optional<std::string> wrong;
    const auto least = [](std::optional<std::string> &to, const std::string &one) { to = to ? std::min(*to, one) : one; };
    const char *error = "duplicate";
    if (!body.empty()) {
      error = "type";
      std::pmr::monotonic_buffer_resource memory;
      json::value tree;
      if (const json::failure failure = json::parse(body, memory, tree); failure != json::failure::none) {
        throw invalid{failure == json::failure::too_deep ? "depth" : "json", ""};
      }
      if (tree.type != json::kind::object) {
        throw invalid{"type", ""};
      }
      for (const json::member &one : tree.members) {
        const std::string called(one.name);
        if (!is_known(called)) {
          least(unknown, called);
          continue;
        }
        held.erase(called);
        const json::value *last = tree.find(called);
        if (last == nullptr) {
          continue;  // null
        }
        if (last->type != json::kind::text && last->type != json::kind::number) {
          least(wrong, called);
        }
        held.emplace(called, last->text);
      }
    }
    while (!query.empty()) {
      const std::string_view pair = query.substr(0, query.find('&'));
      query.remove_prefix(std::min(query.size(), pair.size() + 1));
      if (pair.empty()) {
        continue;
      }
      const std::size_t equals = pair.find('=');
      const std::string called = decoded(pair.substr(0, equals));
      std::string value = equals == std::string_view::npos ? std::string() : decoded(pair.substr(equals + 1));
      if (!is_known(called)) {
        least(unknown, called);
      } else if (!held.emplace(called, std::move(value)).second) {
        least(wrong, called);
      }
    }
    if (unknown) {
      throw invalid{"unknown", telling(*unknown)};
    }
    if (wrong) {
      throw invalid{error, *wrong};
    }
    return record(name, held, from);
  } catch (const invalid &why) {
    event_answer out{400};
    append_invalid(out.body, why);
    return out;
  }
}

event_answer event_desk::record(std::string_view name, const parameters &held, const client &from) const {
  const reader read(held);
  const happened what = find_kind(name)->what;
  const std::int64_t now =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  adclick_event event{};
  event.time_us = now;
  const bool named = read.impression(event);
  if (!named && what != happened::conversion) {
    reader::refuse("missing", "i");
  }
  if (what == happened::win || what == happened::billed) {
    if (const std::string *price = read.find("p"); price != nullptr && price->size() > 64) {
      reader::refuse("range", "p");
    }
    return {204, "noticed"};
  }
  const ad *shown = nullptr;
  adclick::result<std::uint32_t> (adclick::engine::*call)(const adclick_event &) noexcept = nullptr;
  switch (what) {
    case happened::viewable:
    case happened::dwell: {
      const auto ms = read.integer("ms", 0, max_ms);
      if (!ms && what == happened::dwell) {
        reader::refuse("missing", "ms");
      }
      event.duration_us = 1000 * ms.value_or(0);
      call = what == happened::dwell ? &adclick::engine::try_record_dwell : &adclick::engine::try_record_viewable;
      break;
    }
    case happened::click:
      if (const auto id = read.text("ad", 256)) {
        const auto found = ads_.find(*id);
        if (found == ads_.end()) {
          reader::refuse("unknown", "ad");
        }
        shown = found->second;
      }
      if (const auto id = read.text("e", 64)) {
        event.event_id = adclick::hash(*id);
      }
      call = &adclick::engine::try_record_click;
      break;
    case happened::conversion:
      read_conversion(read, *all_, now, event);
      if (!named && event.click_id == 0 && event.user_key == 0) {
        reader::refuse("missing", "i");
      }
      call = &adclick::engine::try_record_conversion;
      break;
    case happened::feedback: {
      constexpr std::string_view said[] = {"hidden", "reported", "answered"};
      const auto one = read.word("what", said);
      if (!one) {
        reader::refuse("missing", "what");
      }
      event.feedback = *one + 1;
      event.answer = static_cast<std::int32_t>(read.integer("answer", -2'147'483'648, 2'147'483'647).value_or(0));
      call = &adclick::engine::try_record_feedback;
      break;
    }
    default:
      call = &adclick::engine::try_record_impression;
  }
  if (what != happened::conversion) {
    // A shop's server reports conversions: it is not the user's address.
    event.flags |= from.refuses ? ADCLICK_KEEP_NO_USER : 0;
    event.ip_class = (event.flags & ADCLICK_KEEP_NO_USER) != 0 ? 0 : address_class(from.address);
    event.agent_class = agent_class(from.user_agent, from.purpose);
  }
  const auto done = (engine_->*call)(event);
  if (!done) {
    std::fprintf(stderr, "adserver: the engine refused an event: %s\n", done.message());
    return {503, "failed", {}, R"({"event":"failed"})"};
  }
  const auto *as = std::find_if(std::begin(sights), std::end(sights), [&](const auto &one) { return one.bit == 0 || (*done & one.bit) != 0; });
  if (shown != nullptr && !shown->landing_url.empty() && as->status != 403) {
    return {302, as->fate, shown->landing_url};
  }
  event_answer out{as->status, as->fate};
  if (as->status != 204) {
    out.body = R"({"event":")" + std::string(as->fate) + "\"}";
  }
  return out;
}

}  // namespace adserver
