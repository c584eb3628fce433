#include "native.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "json.hpp"
#include "request.hpp"

namespace adserver {
namespace {

using json::kind;
using json::value;

constexpr std::size_t max_assets = 32;
constexpr std::size_t max_mimes = 64;
constexpr std::size_t max_methods = 64;

bool is_int(const value &held, std::int64_t &out) {
  return held.type == kind::number && read_integer(held.text, out) == integer_fault::none &&
         out >= std::numeric_limits<std::int32_t>::min() && out <= std::numeric_limits<std::int32_t>::max();
}

// An integer member that may be left out: false when it is there and is no int.
bool read_int(const value &object, std::string_view name, std::optional<std::int64_t> &out) {
  const value *found = object.find(name);
  if (found == nullptr) {
    return true;
  }
  std::int64_t number = 0;
  if (!is_int(*found, number)) {
    return false;
  }
  out = number;
  return true;
}

// The same with 0 for one that is left out, or that is below 0.
bool read_limit(const value &object, std::string_view name, std::int64_t &out) {
  std::optional<std::int64_t> number;
  if (!read_int(object, name, number)) {
    return false;
  }
  out = std::max<std::int64_t>(number.value_or(0), 0);
  return true;
}

bool read_list(const value &object, std::string_view name, std::size_t most, kind of, std::span<const value> &out) {
  const value *found = object.find(name);
  if (found == nullptr) {
    return true;
  }
  out = found->items;
  return found->type == kind::list && out.size() <= most &&
         std::all_of(out.begin(), out.end(), [&](const value &one) { return one.type == of; });
}

bool read_title(const value &from, asset &one) {
  one.asks = asset::part::title;
  return read_limit(from, "len", one.longest);
}

bool read_picture(const value &from, asset &one) {
  std::optional<std::int64_t> type;
  if (!read_int(from, "type", type)) {
    return false;
  }
  one.asks = type.value_or(3) == 3 ? asset::part::image : type == 1 ? asset::part::icon : asset::part::other;
  return read_limit(from, "w", one.w) && read_limit(from, "h", one.h) && read_limit(from, "wmin", one.wmin) &&
         read_limit(from, "hmin", one.hmin) && read_list(from, "mimes", max_mimes, kind::text, one.mimes);
}

bool read_data(const value &from, asset &one) {
  std::optional<std::int64_t> type;
  if (!read_int(from, "type", type)) {
    return false;
  }
  one.asks = type == 1 ? asset::part::sponsor : type == 2 ? asset::part::description : asset::part::other;
  return read_limit(from, "len", one.longest);
}

// The first of these that is there counts; false when it is not as it should be.
bool read_part(const value &held, asset &one) {
  using reader = bool (*)(const value &, asset &);
  constexpr std::pair<std::string_view, reader> parts[] = {{"title", read_title}, {"img", read_picture}, {"data", read_data}, {"video", nullptr}};
  for (const auto &[name, read] : parts) {
    if (const value *found = held.find(name)) {
      return found->type == kind::object && (read == nullptr || read(*found, one));
    }
  }
  return true;
}

// Whether the request wants impressions told in a way that we have: an image (method 1) for an impression (event 1).
bool read_trackers(const value &inner, tracking &out) {
  std::span<const value> trackers;
  if (inner.find("eventtrackers") == nullptr) {
    return true;
  }
  out = tracking::none;
  if (!read_list(inner, "eventtrackers", max_assets, kind::object, trackers)) {
    return false;
  }
  for (const value &tracker : trackers) {
    std::optional<std::int64_t> event;
    std::span<const value> methods;
    if (!read_int(tracker, "event", event) || !read_list(tracker, "methods", max_methods, kind::number, methods)) {
      return false;
    }
    for (const value &method : methods) {
      std::int64_t number = 0;
      if (!is_int(method, number)) {
        return false;
      }
      out = event == 1 && number == 1 ? tracking::eventtrackers : out;
    }
  }
  return true;
}

bool fits(const asset &asked, const picture &one) noexcept {
  const auto side = [](std::int64_t exact, std::int64_t least, std::int64_t held) {
    return least > 0 ? held >= least : exact == 0 || held == exact;
  };
  return side(asked.w, asked.wmin, one.w) && side(asked.h, asked.hmin, one.h) &&
         (asked.mimes.empty() ||
          std::any_of(asked.mimes.begin(), asked.mimes.end(), [&](const value &mime) { return !one.mime.empty() && mime.text == one.mime; }));
}

bool filled(const asset &asked, const ad &one, const advertiser &by) noexcept {
  const auto short_enough = [&](std::int64_t length) { return asked.longest == 0 || asked.longest >= length; };
  switch (asked.asks) {
    case asset::part::title:
      return short_enough(one.title_length);
    case asset::part::icon:
      return fits(asked, one.icon);
    case asset::part::image:
      return fits(asked, one.image);
    case asset::part::sponsor:
      return short_enough(by.name_length);
    case asset::part::description:
      return short_enough(one.description_length);
    case asset::part::other:
      return false;
  }
  return false;
}

void append_picture(std::string &out, const picture &one) {
  out += R"("img":{"url":)";
  json::append_quoted(out, one.url);
  out += ",\"w\":" + std::to_string(one.w) + ",\"h\":" + std::to_string(one.h) + "}";
}

void append_text(std::string &out, std::string_view begin, std::string_view text) {
  out += begin;
  json::append_quoted(out, text);
  out += '}';
}

}  // namespace

std::optional<native_request> read_native(const value &asked, std::pmr::memory_resource &memory) {
  value root = asked;
  if (asked.type == kind::text && json::parse(asked.text, memory, root) != json::failure::none) {
    return std::nullopt;
  }
  if (root.type != kind::object) {
    return std::nullopt;
  }
  native_request request{.wrapped = false, .tracked = tracking::imptrackers, .assets = std::pmr::vector<asset>(&memory)};
  const value *inner = root.find("native");
  request.wrapped = inner != nullptr && inner->type == kind::object;
  const value &counts = request.wrapped ? *inner : root;
  const value *list = counts.find("assets");
  if (list == nullptr || list->type != kind::list || list->items.empty() || list->items.size() > max_assets ||
      !read_trackers(counts, request.tracked)) {
    return std::nullopt;
  }
  for (const value &held : list->items) {
    asset one;
    std::optional<std::int64_t> id;
    std::optional<std::int64_t> required;
    if (held.type != kind::object || !read_int(held, "id", id) || !id || !read_int(held, "required", required) ||
        !read_part(held, one)) {
      return std::nullopt;
    }
    one.id = *id;
    one.required = required == 1;
    request.assets.push_back(one);
  }
  return request;
}

bool fills(const native_request &request, const ad &one, const advertiser &by) noexcept {
  bool any = false;
  for (const asset &asked : request.assets) {
    const bool here = filled(asked, one, by);
    if (!here && asked.required) {
      return false;
    }
    any = any || here;
  }
  return any;
}

void append_native(std::string &out, const native_request &request, const ad &one, const advertiser &by, std::string_view impression) {
  out += request.wrapped ? R"({"native":{"ver":"1.2","assets":[)" : R"({"ver":"1.2","assets":[)";
  bool first = true;
  for (const asset &asked : request.assets) {
    if (!filled(asked, one, by)) {
      continue;
    }
    out += first ? "{\"id\":" : ",{\"id\":";
    first = false;
    out += std::to_string(asked.id) + ",";
    switch (asked.asks) {
      case asset::part::title:
        append_text(out, R"("title":{"text":)", one.title);
        break;
      case asset::part::icon:
        append_picture(out, one.icon);
        break;
      case asset::part::image:
        append_picture(out, one.image);
        break;
      case asset::part::sponsor:
        append_text(out, R"("data":{"value":)", by.name);
        break;
      case asset::part::description:
        append_text(out, R"("data":{"value":)", one.description);
        break;
      case asset::part::other:
        break;
    }
    out += '}';
  }
  out += R"(],"link":{"url":)";
  one.click_url.append(out, impression);
  out += '}';
  if (!one.impression_url.empty() && request.tracked != tracking::none) {
    const bool by_event = request.tracked == tracking::eventtrackers;
    out += by_event ? R"(,"eventtrackers":[{"event":1,"method":1,"url":)" : R"(,"imptrackers":[)";
    one.impression_url.append(out, impression);
    out += by_event ? "}]" : "]";
  }
  out += request.wrapped ? "}}" : "}";
}

}  // namespace adserver
