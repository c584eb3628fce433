#include "native.hpp"

#include <algorithm>
#include <limits>

#include "json.hpp"
#include "request.hpp"

namespace adserver {
namespace {

using json::kind;
using json::value;

constexpr std::size_t max_assets = 32;

// An integer member that may be left out: false when it is there and is no int.
bool read_int(const value &object, std::string_view name, std::optional<std::int64_t> &out) {
  const value *found = object.find(name);
  if (found == nullptr) {
    return true;
  }
  std::int64_t number = 0;
  if (found->type != kind::number || read_integer(found->text, number) != integer_fault::none ||
      number < std::numeric_limits<std::int32_t>::min() || number > std::numeric_limits<std::int32_t>::max()) {
    return false;
  }
  out = number;
  return true;
}

bool read_part(const value &held, asset &one) {
  for (const std::string_view name : {"title", "img", "data", "video"}) {
    const value *found = held.find(name);
    if (found == nullptr) {
      continue;
    }
    std::optional<std::int64_t> number;
    if (found->type != kind::object) {
      return false;
    }
    if (name == "title") {
      one.asks = asset::part::title;
      if (!read_int(*found, "len", number)) {
        return false;
      }
      one.longest = std::max<std::int64_t>(number.value_or(0), 0);
    } else if (name == "img") {
      if (!read_int(*found, "type", number)) {
        return false;
      }
      const std::int64_t type = number.value_or(3);
      one.asks = type == 1 ? asset::part::icon : type == 3 ? asset::part::image : asset::part::other;
    } else if (name == "data") {
      if (!read_int(*found, "type", number)) {
        return false;
      }
      one.asks = number == 1 ? asset::part::sponsor : number == 2 ? asset::part::description : asset::part::other;
    }
    return true;
  }
  return true;
}

bool filled(const asset &asked, const ad &one) noexcept {
  return asked.asks != asset::part::other &&
         (asked.asks != asset::part::title || asked.longest == 0 || asked.longest >= one.title_length);
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

std::optional<native_request> read_native(std::string_view text, std::pmr::memory_resource &memory) {
  value root;
  if (json::parse(text, memory, root) != json::failure::none || root.type != kind::object) {
    return std::nullopt;
  }
  native_request request{.wrapped = false, .assets = std::pmr::vector<asset>(&memory)};
  const value *inner = root.find("native");
  request.wrapped = inner != nullptr && inner->type == kind::object;
  const value *list = (request.wrapped ? *inner : root).find("assets");
  if (list == nullptr || list->type != kind::list || list->items.empty() || list->items.size() > max_assets) {
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

bool fills(const native_request &request, const ad &one) noexcept {
  bool any = false;
  for (const asset &asked : request.assets) {
    const bool here = filled(asked, one);
    if (!here && asked.required) {
      return false;
    }
    any = any || here;
  }
  return any;
}

void append_native(std::string &out, const native_request &request, const ad &one, const advertiser &by) {
  out += request.wrapped ? R"({"native":{"ver":"1.2","assets":[)" : R"({"ver":"1.2","assets":[)";
  bool first = true;
  for (const asset &asked : request.assets) {
    if (!filled(asked, one)) {
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
  json::append_quoted(out, one.click_url);
  out += request.wrapped ? "}}}" : "}}";
}

}  // namespace adserver
