#include "campaigns.hpp"

#include <adclick.hpp>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <set>
#include <stdexcept>

#include "json.hpp"
#include "money.hpp"

namespace adserver {
namespace {

using json::kind;
using json::value;

constexpr std::size_t max_ads = 10'000;

[[noreturn]] void refuse(const std::string &at, const std::string &what) {
  throw std::runtime_error((at.empty() ? "the file" : at) + ": " + what);
}

// One object of the file, read member by member. Nothing else may stand in it.
class object {
 public:
  object(const value &held, std::string at, std::initializer_list<std::string_view> known)
      : held_(&held), at_(std::move(at)) {
    if (held.type != kind::object) {
      refuse(at_, "expected an object");
    }
    for (const json::member &member : held.members) {
      if (std::find(known.begin(), known.end(), member.name) == known.end()) {
        refuse(at_, "unknown member `" + std::string(member.name) + "`");
      }
    }
  }

  [[nodiscard]] std::string at(std::string_view name) const {
    return at_.empty() ? std::string(name) : at_ + "." + std::string(name);
  }
  [[nodiscard]] const value *find(std::string_view name, kind type, const char *expected) const {
    const value *found = held_->find(name);
    if (found != nullptr && found->type != type) {
      refuse(at(name), std::string("expected ") + expected);
    }
    return found;
  }
  [[nodiscard]] const value &get(std::string_view name, kind type, const char *expected) const {
    const value *found = find(name, type, expected);
    if (found == nullptr) {
      refuse(at(name), std::string("is missing: expected ") + expected);
    }
    return *found;
  }
  [[nodiscard]] std::string text(std::string_view name) const {
    const std::string_view found = get(name, kind::text, "a text").text;
    if (found.empty()) {
      refuse(at(name), "is empty");
    }
    return std::string(found);
  }
  [[nodiscard]] std::int64_t number(std::string_view name) const {
    return integer(get(name, kind::number, "an integer"), at(name));
  }
  [[nodiscard]] std::int64_t number(std::string_view name, std::int64_t otherwise) const {
    return held_->find(name) == nullptr ? otherwise : number(name);
  }
  // Empty when there is none.
  [[nodiscard]] std::string text_if_any(std::string_view name) const {
    return held_->find(name) == nullptr ? std::string() : text(name);
  }
  [[nodiscard]] std::optional<std::vector<std::int64_t>> numbers(std::string_view name) const {
    const value *list = find(name, kind::list, "a list");
    if (list == nullptr) {
      return std::nullopt;
    }
    std::vector<std::int64_t> all;
    for (const value &item : list->items) {
      all.push_back(integer(item, at(name)));
    }
    return all;
  }
  [[nodiscard]] std::optional<std::vector<std::string>> texts(std::string_view name) const {
    const value *list = find(name, kind::list, "a list");
    if (list == nullptr) {
      return std::nullopt;
    }
    std::vector<std::string> all;
    for (const value &item : list->items) {
      if (item.type != kind::text || item.text.empty()) {
        refuse(at(name), "expected texts that are not empty");
      }
      all.emplace_back(item.text);
    }
    return all;
  }
  static std::int64_t integer(const value &held, const std::string &at) {
    std::int64_t number = 0;
    const std::string_view text = held.text;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
    if (held.type != kind::number || read.ec != std::errc{} || read.ptr != text.data() + text.size() || number < 1 ||
        number > 100'000) {
      refuse(at, "expected an integer from 1 to 100000");
    }
    return number;
  }

 private:
  const value *held_;
  std::string at_;
};

std::int64_t code_points(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

bool is_code(std::string_view text) {
  return text.size() == 3 && std::all_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

bool is_id(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

// Goes into a header as it is.
bool is_landing(std::string_view url) {
  return (url.starts_with("https://") || url.starts_with("http://")) &&
         std::all_of(url.begin(), url.end(), [](char c) { return c > ' ' && c <= '~' && c != '"'; });
}

void read_bid(const value &held, const std::string &at, const campaigns &all, ad &one) {
  constexpr std::pair<std::string_view, std::uint32_t> kinds[] = {{"cpm", ADCLICK_BID_KIND_CPM},
                                                                  {"cpc", ADCLICK_BID_KIND_CPC},
                                                                  {"cpa", ADCLICK_BID_KIND_CPA},
                                                                  {"ocpm", ADCLICK_BID_KIND_OCPM}};
  const object bid(held, at, {"kind", "amount", "currency"});
  const std::string kind = bid.text("kind");
  const auto *found = std::find_if(std::begin(kinds), std::end(kinds), [&](const auto &k) { return k.first == kind; });
  if (found == std::end(kinds)) {
    refuse(bid.at("kind"), "expected cpm, cpc, cpa or ocpm, found `" + kind + "`");
  }
  one.bid_kind = found->second;
  const std::int64_t rate = all.rate(bid.text("currency"));
  if (rate == 0) {
    refuse(bid.at("currency"), "`" + bid.text("currency") + "` is not the own currency and not in `rates`");
  }
  const auto micros = money::amount(bid.text("amount"));
  one.bid_micros = micros ? money::to_own(*micros, rate, money::round::down) : 0;
  if (one.bid_micros <= 0 || one.bid_micros > 100'000'000'000) {
    refuse(bid.at("amount"), "expected an amount such as \"1.25\" above 0, worth up to 100000 units of the own currency");
  }
}

picture read_picture(const value &held, const std::string &at) {
  const object read(held, at, {"url", "w", "h", "mime"});
  return {read.text_if_any("mime"), read.text("url"), read.number("w"), read.number("h")};
}

void read_shape(const object &from, const std::string &events, ad &one) {
  const value *banner = from.find("banner", kind::object, "an object");
  const value *video = from.find("video", kind::object, "an object");
  const value *native = from.find("native", kind::object, "an object");
  if ((banner != nullptr) + (video != nullptr) + (native != nullptr) != 1) {
    refuse(from.at("banner"), "expected one of banner, video and native");
  }
  std::string format;
  if (banner != nullptr) {
    const object read(*banner, from.at("banner"), {"w", "h"});
    one.w = read.number("w");
    one.h = read.number("h");
    format = std::to_string(one.w) + "x" + std::to_string(one.h);
  } else if (video != nullptr) {
    const object read(*video, from.at("video"), {"w", "h", "mime", "protocol", "seconds", "linearity", "placement", "plcmt"});
    one.is = shape::video;
    one.w = read.number("w");
    one.h = read.number("h");
    one.mime = read.text("mime");
    one.protocol = read.number("protocol");
    one.seconds = read.number("seconds");
    one.linearity = read.number("linearity", 1);
    if (one.linearity > 2) {
      refuse(read.at("linearity"), "expected 1 or 2");
    }
    one.placement = read.numbers("placement");
    one.plcmt = read.numbers("plcmt");
    format = "video";
  } else {
    const object read(*native, from.at("native"), {"title", "description", "image", "icon"});
    one.is = shape::native;
    one.title = read.text("title");
    one.title_length = code_points(one.title);
    one.description = read.text("description");
    one.description_length = code_points(one.description);
    one.image = read_picture(read.get("image", kind::object, "an object"), read.at("image"));
    one.icon = read_picture(read.get("icon", kind::object, "an object"), read.at("icon"));
    one.click_url = markup(from.text("click_url"), one.id, events);
    if (const std::string url = from.text_if_any("impression_url"); !url.empty()) {
      one.impression_url = markup(url, one.id, events);
    }
    format = "native";
  }
  one.format = adclick::hash(format);
  if (one.is == shape::native) {
    if (from.find("adm", kind::text, "a text") != nullptr) {
      refuse(from.at("adm"), "a native ad has none");
    }
  } else {
    for (const std::string_view name : {"click_url", "impression_url"}) {
      if (from.find(name, kind::text, "a text") != nullptr) {
        refuse(from.at(name), "belongs to native ads");
      }
    }
    one.adm = markup(from.text("adm"), one.id, events);
  }
}

void read_target(const value &held, const std::string &at, ad &one) {
  const object target(held, at, {"country", "device_type", "os", "include", "exclude"});
  one.country = target.texts("country");
  one.os = target.texts("os");
  one.include = target.texts("include");
  one.exclude = target.texts("exclude");
  one.device_type = target.numbers("device_type");
}

// What the response says of the ad, whatever the request.
std::string traits(const ad &one, const campaigns &all, const std::vector<std::string> &cat) {
  std::string out = ",\"adid\":";
  json::append_quoted(out, one.id);
  out += ",\"adomain\":[";
  json::append_quoted(out, all.advertisers[one.advertiser].domain);
  out += "],\"crid\":";
  json::append_quoted(out, one.creative);
  const auto list = [&](std::string_view name, const auto &items, auto append) {
    if (items.empty()) {
      return;
    }
    out += ",\"" + std::string(name) + "\":";
    char before = '[';
    for (const auto &item : items) {
      out += before;
      append(item);
      before = ',';
    }
    out += ']';
  };
  const auto text = [&](std::string_view name, const std::string &held) {
    if (!held.empty()) {
      out += ",\"" + std::string(name) + "\":";
      json::append_quoted(out, held);
    }
  };
  text("bundle", one.bundle);
  list("cat", cat, [&](const std::string &name) { json::append_quoted(out, name); });
  if (!cat.empty() && all.cattax != 1) {
    out += ",\"cattax\":" + std::to_string(all.cattax);
  }
  list("attr", one.attr, [&](std::int64_t number) { out += std::to_string(number); });
  text("language", one.language);
  return out;
}

ad read_ad(const value &held, const std::string &at, campaigns &all) {
  const object from(held, at, {"id", "advertiser", "creative", "bid", "cat", "secure", "banner", "video", "native",
                               "target", "nurl", "burl", "adm", "click_url", "impression_url", "landing_url", "language",
                               "bundle", "attr", "deals", "only_deals"});
  ad one;
  one.id = from.text("id");
  if (!is_id(one.id)) {
    refuse(from.at("id"), "expected letters, digits, `_` and `-`");
  }
  one.key = adclick::hash(one.id);
  const std::string by = from.text("advertiser");
  const auto found = std::find_if(all.advertisers.begin(), all.advertisers.end(), [&](const auto &a) { return a.id == by; });
  if (found == all.advertisers.end()) {
    refuse(from.at("advertiser"), "`" + by + "` is not one of `advertisers`");
  }
  one.advertiser = static_cast<std::uint32_t>(found - all.advertisers.begin());
  one.advertiser_key = adclick::hash(by);
  one.creative = from.text("creative");
  read_bid(from.get("bid", kind::object, "an object"), from.at("bid"), all, one);
  one.secure = from.get("secure", kind::boolean, "true or false").truth;

  const auto cat = from.texts("cat");
  if (!cat) {
    refuse(from.at("cat"), "is missing: expected a list");
  }
  for (const std::string &name : *cat) {
    auto known = std::find(all.categories.begin(), all.categories.end(), name);
    if (known == all.categories.end()) {
      known = all.categories.insert(known, name);
    }
    one.categories.push_back(static_cast<std::uint32_t>(known - all.categories.begin()));
  }
  one.language = from.text_if_any("language");
  if (!one.language.empty() &&
      (one.language.size() != 2 || !std::all_of(one.language.begin(), one.language.end(), [](char c) { return c >= 'a' && c <= 'z'; }))) {
    refuse(from.at("language"), "expected two letters a to z");
  }
  one.creative_key = adclick::hash(one.creative);
  one.category_key = cat->empty() ? 0 : adclick::hash(cat->front());
  one.deals = from.texts("deals").value_or(std::vector<std::string>{});
  const value *only = from.find("only_deals", kind::boolean, "true or false");
  one.only_deals = only != nullptr && only->truth;
  one.bundle = from.text_if_any("bundle");
  one.attr = from.numbers("attr").value_or(std::vector<std::int64_t>{});
  one.traits_json = traits(one, all, *cat);

  read_shape(from, all.events, one);
  one.landing_url = from.text_if_any("landing_url");
  if (!one.landing_url.empty() && !is_landing(one.landing_url)) {
    refuse(from.at("landing_url"), "expected an http or https URL of printable ASCII without spaces and quotes");
  }
  if (const value *target = from.find("target", kind::object, "an object")) {
    read_target(*target, from.at("target"), one);
  }
  for (const auto &[name, to] : {std::pair{"nurl", &one.nurl}, std::pair{"burl", &one.burl}}) {
    if (from.find(name, kind::text, "a text") != nullptr) {
      *to = markup(from.text(name), one.id, all.events);
    }
  }
  return one;
}

void read_money(const object &file, campaigns &all) {
  all.currency = file.text("currency");
  if (!is_code(all.currency)) {
    refuse("currency", "expected three letters A to Z");
  }
  all.min_cpm = money::amount(file.text("min_cpm")).value_or(0);
  if (all.min_cpm <= 0) {
    refuse("min_cpm", "expected an amount above 0, such as \"0.01\"");
  }
  all.rates.emplace_back(all.currency, money::one);
  for (const json::member &member : file.get("rates", kind::object, "an object").members) {
    const std::string at = "rates." + std::string(member.name);
    const std::int64_t rate = member.held.type == kind::text ? money::rate(member.held.text).value_or(0) : 0;
    if (!is_code(member.name) || all.rate(member.name) != 0 || rate == 0) {
      refuse(at, "expected another currency's code and a rate above 0, such as \"1.0842\"");
    }
    all.rates.emplace_back(member.name, rate);
  }
}

campaigns read(const value &root, const std::string &events) {
  const object file(root, "", {"currency", "min_cpm", "rates", "seat", "gdpr_vendor", "cattax", "advertisers", "ads"});
  campaigns all;
  all.events = events;
  read_money(file, all);
  all.seat = file.text("seat");
  all.gdpr_vendor = file.number("gdpr_vendor", 0);
  if (all.gdpr_vendor > 65'535) {
    refuse("gdpr_vendor", "expected an integer from 1 to 65535");
  }
  all.cattax = file.number("cattax", 1);
  for (const value &held : file.get("advertisers", kind::list, "a list").items) {
    const object one(held, "advertisers[" + std::to_string(all.advertisers.size()) + "]", {"id", "name", "domain"});
    all.advertisers.push_back({one.text("id"), one.text("name"), one.text("domain"), code_points(one.text("name"))});
  }
  const value &ads = file.get("ads", kind::list, "a list");
  if (ads.items.empty() || ads.items.size() > max_ads) {
    refuse("ads", "expected 1 to 10000 ads");
  }
  std::set<std::string> ids;
  for (const value &held : ads.items) {
    const std::string at = "ads[" + std::to_string(all.ads.size()) + "]";
    all.ads.push_back(read_ad(held, at, all));
    if (!ids.insert(all.ads.back().id).second) {
      refuse(at + ".id", "`" + all.ads.back().id + "` is there twice");
    }
  }
  return all;
}

}  // namespace

markup::markup(std::string_view text, std::string_view ad, std::string_view events) {
  constexpr std::string_view impression_macro = "{{impression}}";
  constexpr std::string_view ad_macro = "{{ad}}";
  constexpr std::string_view events_macro = "{{events}}";
  parts_.emplace_back();
  while (!text.empty()) {
    if (text.starts_with(impression_macro)) {
      parts_.emplace_back();
      text.remove_prefix(impression_macro.size());
    } else if (text.starts_with(ad_macro)) {
      parts_.back() += ad;
      text.remove_prefix(ad_macro.size());
    } else if (text.starts_with(events_macro)) {
      parts_.back() += events;
      text.remove_prefix(events_macro.size());
    } else {
      json::append_escaped(parts_.back(), text.substr(0, 1));
      text.remove_prefix(1);
    }
  }
}

void markup::append(std::string &out, std::string_view impression) const {
  out += '"';
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    out += i == 0 ? std::string_view{} : impression;
    out += parts_[i];
  }
  out += '"';
}

std::int64_t campaigns::rate(std::string_view code) const noexcept {
  for (const auto &[known, rate] : rates) {
    if (known == code) {
      return rate;
    }
  }
  return 0;
}

campaigns load_campaigns(const std::string &path, const std::string &events) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file) {
    throw std::runtime_error(path + ": cannot be read");
  }
  std::pmr::monotonic_buffer_resource memory;
  value root;
  if (json::parse(text, memory, root) != json::failure::none) {
    throw std::runtime_error(path + ": expected a JSON text");
  }
  try {
    return read(root, events);
  } catch (const std::runtime_error &why) {
    throw std::runtime_error(path + ": " + why.what());
  }
}

}  // namespace adserver
