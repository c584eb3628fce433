#include "request.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

#include "money.hpp"

namespace adserver {
namespace {

using json::kind;
using json::value;

constexpr std::int64_t int_min = std::numeric_limits<std::int32_t>::min();
constexpr std::int64_t int_max = std::numeric_limits<std::int32_t>::max();

// One object of the request and the way to it, which is spelt out only when something is wrong.
class object {
 public:
  // The root.
  explicit object(const value &held) : held_(&held) {
    if (held.type != kind::object) {
      throw invalid{"type", ""};
    }
  }

  [[noreturn]] void refuse(const char *error, std::string_view name) const { throw invalid{error, path(name)}; }

  // Members by name: nothing when there is none, otherwise of that type.
  [[nodiscard]] const value *find(std::string_view name, kind type) const {
    const value *found = held_->find(name);
    if (found != nullptr && found->type != type) {
      refuse("type", name);
    }
    return found;
  }
  [[nodiscard]] const value &held() const { return *held_; }
  [[nodiscard]] bool has(std::string_view name) const { return held_->find(name) != nullptr; }
  [[nodiscard]] std::optional<object> child(std::string_view name) const {
    const value *found = find(name, kind::object);
    return found == nullptr ? std::nullopt : std::optional(object(*found, this, name, none));
  }
  [[nodiscard]] object entry(std::string_view list, const value &held, std::size_t index) const {
    if (held.type != kind::object) {
      throw invalid{"type", path(list) + "[" + std::to_string(index) + "]"};
    }
    return object(held, this, list, index);
  }
  [[nodiscard]] std::string_view text(std::string_view name) const {
    const value *found = find(name, kind::text);
    return found == nullptr ? std::string_view{} : found->text;
  }
  [[nodiscard]] std::string_view required_id(std::string_view name) const {
    const value *found = find(name, kind::text);
    if (found == nullptr) {
      refuse("missing", name);
    }
    if (found->text.empty()) {
      refuse("empty", name);
    }
    if (found->text.size() > 256) {
      refuse("range", name);
    }
    return found->text;
  }
  [[nodiscard]] std::optional<std::int64_t> integer(std::string_view name, std::int64_t least = int_min,
                                                    std::int64_t most = int_max) const {
    const value *found = find(name, kind::number);
    if (found == nullptr) {
      return std::nullopt;
    }
    std::int64_t number = 0;
    const integer_fault fault = read_integer(found->text, number);
    if (fault == integer_fault::type) {
      refuse("type", name);
    }
    if (fault == integer_fault::range || number < least || number > most) {
      refuse("range", name);
    }
    return number;
  }
  [[nodiscard]] std::span<const value> list(std::string_view name, std::size_t most) const {
    const value *found = find(name, kind::list);
    if (found == nullptr) {
      return {};
    }
    if (found->items.size() > most) {
      refuse("too_many", name);
    }
    return found->items;
  }
  [[nodiscard]] std::span<const value> texts(std::string_view name, std::size_t most, bool numbers = false) const {
    const std::span<const value> items = list(name, most);
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (items[i].type != kind::text && !(numbers && items[i].type == kind::number)) {
        throw invalid{"type", path(name) + "[" + std::to_string(i) + "]"};
      }
    }
    return items;
  }
  [[nodiscard]] std::span<const value> integers(std::string_view name, std::size_t most) const {
    const std::span<const value> items = list(name, most);
    for (std::size_t i = 0; i < items.size(); ++i) {
      std::int64_t number = 0;
      const integer_fault fault = items[i].type == kind::number ? read_integer(items[i].text, number) : integer_fault::type;
      if (fault != integer_fault::none || number < int_min || number > int_max) {
        throw invalid{fault == integer_fault::type ? "type" : "range", path(name) + "[" + std::to_string(i) + "]"};
      }
    }
    return items;
  }
  [[nodiscard]] std::string path() const {
    if (above_ == nullptr) {
      return "";
    }
    std::string all = above_->path(name_);
    return index_ == none ? all : all + "[" + std::to_string(index_) + "]";
  }
  [[nodiscard]] std::string path(std::string_view name) const {
    const std::string here = path();
    return here.empty() ? std::string(name) : here + "." + std::string(name);
  }

 private:
  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  object(const value &held, const object *above, std::string_view name, std::size_t index)
      : held_(&held), above_(above), name_(name), index_(index) {}

  const value *held_;
  const object *above_ = nullptr;
  std::string_view name_;
  std::size_t index_ = none;
};

template <char first, char last>
std::string_view recased(std::string_view text, std::pmr::memory_resource &memory) {
  const auto changes = [](char c) { return c >= first && c <= last; };
  if (std::none_of(text.begin(), text.end(), changes)) {
    return text;
  }
  char *chars = static_cast<char *>(memory.allocate(text.size(), 1));
  std::transform(text.begin(), text.end(), chars, [&](char c) { return changes(c) ? static_cast<char>(c ^ 0x20) : c; });
  return {chars, text.size()};
}

void read_where(const object &root, bid_request &into, std::pmr::memory_resource &memory) {
  const auto site = root.child("site");
  if (site) {
    const std::string_view id = site->text("id");
    const std::string_view domain = site->text("domain");
    into.content = site->texts("cat", 256, true);
    into.inventory = domain.empty() ? id : lower(domain, memory);
  }
  if (site && root.has("app")) {
    root.refuse("conflict", "app");
  }
  if (const auto app = root.child("app")) {
    const std::string_view id = app->text("id");
    const std::string_view bundle = app->text("bundle");
    into.content = app->texts("cat", 256, true);
    into.inventory = bundle.empty() ? id : bundle;
  }
  if ((site || root.has("app")) && root.has("dooh")) {
    root.refuse("conflict", "dooh");
  }
  into.dooh = root.child("dooh").has_value();
}

void read_who(const object &root, bid_request &into, std::pmr::memory_resource &memory) {
  std::string_view ifa;
  if (const auto device = root.child("device")) {
    into.device_type = device->integer("devicetype").value_or(0);
    into.os = lower(device->text("os"), memory);
    into.connection = device->integer("connectiontype").value_or(0);
    ifa = device->text("ifa");
    const bool limited = device->integer("lmt") == 1;
    const bool untracked = device->integer("dnt") == 1;
    into.limited = limited || untracked;
    if (const auto geo = device->child("geo")) {
      into.country = upper(geo->text("country"), memory);
      into.utc_offset_min = geo->integer("utcoffset", -1440, 1440).value_or(0);
    }
  }
  if (const auto user = root.child("user")) {
    into.person = &user->held();
    const std::string_view id = user->text("id");
    const std::string_view buyer = user->text("buyeruid");
    into.user = buyer.empty() ? id : buyer;
  }
  if (const auto regs = root.child("regs")) {
    into.regs = &regs->held();
    into.limited = regs->integer("coppa") == 1 || into.limited;
  }
  into.user = into.user.empty() ? ifa : into.user;
}

template <class T>
std::span<T> made(std::size_t n, std::pmr::memory_resource &memory) {
  T *array = static_cast<T *>(memory.allocate(n * sizeof(T) + 1, alignof(T)));
  std::uninitialized_value_construct_n(array, n);
  return {array, n};
}

std::span<const size> read_sizes(const object &banner, std::pmr::memory_resource &memory) {
  const std::span<const value> formats = banner.list("format", 64);
  const std::span<size> sizes = made<size>(formats.size() + 1, memory);
  std::size_t n = 0;
  for (std::size_t i = 0; i < formats.size(); ++i) {
    const object format = banner.entry("format", formats[i], i);
    const std::int64_t w = format.integer("w", 0).value_or(0);
    const std::int64_t h = format.integer("h", 0).value_or(0);
    if (w > 0 && h > 0) {
      sizes[n++] = {w, h};
    }
  }
  const std::int64_t w = banner.integer("w", 0).value_or(0);
  const std::int64_t h = banner.integer("h", 0).value_or(0);
  if (n == 0 && w > 0 && h > 0) {
    sizes[n++] = {w, h};
  }
  return sizes.first(n);
}

void read_floor(const object &from, terms &into, std::pmr::memory_resource &memory) {
  if (const value *floor = from.find("bidfloor", kind::number)) {
    if (!money::floor_micros(floor->text)) {
      from.refuse("range", "bidfloor");
    }
    into.floor = floor->text;
  }
  if (const value *currency = from.find("bidfloorcur", kind::text)) {
    into.floor_currency = upper(currency->text, memory);
  }
}

std::span<const terms> read_deals(const object &pmp, std::int64_t at, std::pmr::memory_resource &memory) {
  const std::span<const value> items = pmp.list("deals", 256);
  const std::span<terms> deals = made<terms>(items.size(), memory);
  for (std::size_t i = 0; i < items.size(); ++i) {
    const object from = pmp.entry("deals", items[i], i);
    terms &one = deals[i];
    one.deal = from.required_id("id");
    read_floor(from, one, memory);
    one.at = from.integer("at").value_or(at);
    one.wseat = from.texts("wseat", 4096);
    one.wadomain = from.texts("wadomain", 4096);
  }
  return deals;
}

imp read_imp(const object &from, std::span<const imp> earlier, std::int64_t at, std::pmr::memory_resource &memory) {
  imp one{};
  one.id = from.required_id("id");
  if (std::any_of(earlier.begin(), earlier.end(), [&](const imp &other) { return other.id == one.id; })) {
    from.refuse("duplicate", "id");
  }
  read_floor(from, one.open, memory);
  one.open.at = at == 3 ? 1 : at;  // a deal's price is a matter of deals
  one.secure = from.integer("secure", 0, 1) == 1;
  if (const auto pmp = from.child("pmp")) {
    one.private_auction = pmp->integer("private_auction") == 1;
    one.deals = read_deals(*pmp, at, memory);
  }
  bool offered = false;
  if (const auto banner = from.child("banner")) {
    offered = true;
    one.sizes = read_sizes(*banner, memory);
    one.position = banner->integer("pos").value_or(0);
    one.banner_battr = banner->integers("battr", 64);
  }
  if (const auto clip = from.child("video")) {
    offered = true;
    one.clip.emplace();
    one.clip->mimes = clip->texts("mimes", 64);
    one.clip->min_seconds = clip->integer("minduration", 0).value_or(0);
    one.clip->max_seconds = clip->integer("maxduration", 0).value_or(0);
    one.clip->protocols = clip->integers("protocols", 64);
    one.clip->linearity = clip->integer("linearity").value_or(0);
    one.clip->placement = clip->integer("placement").value_or(0);
    one.clip->plcmt = clip->integer("plcmt").value_or(0);
    one.clip->durations = clip->integers("rqddurs", 64);
    const std::int64_t position = clip->integer("pos").value_or(0);
    one.position = one.position != 0 ? one.position : position;
    one.clip->pod = clip->text("podid");
    one.clip->dedupe = clip->integers("poddedupe", 64);
    one.video_battr = clip->integers("battr", 64);
  }
  if (from.child("audio")) {
    offered = true;
  }
  if (const auto native = from.child("native")) {
    offered = true;
    one.native = native->held().find("request");
    if (one.native == nullptr) {
      native->refuse("missing", "request");
    }
    if (one.native->type != kind::object && one.native->type != kind::text) {
      native->refuse("type", "request");
    }
    if (one.native->type == kind::text && one.native->text.empty()) {
      native->refuse("empty", "request");
    }
    one.native_battr = native->integers("battr", 64);
  }
  if (!offered) {
    throw invalid{"missing", from.path()};
  }
  return one;
}

}  // namespace

std::string_view upper(std::string_view text, std::pmr::memory_resource &memory) { return recased<'a', 'z'>(text, memory); }
std::string_view lower(std::string_view text, std::pmr::memory_resource &memory) { return recased<'A', 'Z'>(text, memory); }

integer_fault read_integer(std::string_view number, std::int64_t &out) noexcept {
  const auto read = std::from_chars(number.data(), number.data() + number.size(), out);
  if (read.ptr != number.data() + number.size()) {
    return integer_fault::type;
  }
  return read.ec == std::errc{} ? integer_fault::none : integer_fault::range;
}

bid_request read_request(std::string_view body, std::pmr::memory_resource &memory) {
  value tree;
  if (const json::failure failure = json::parse(body, memory, tree); failure != json::failure::none) {
    throw invalid{failure == json::failure::too_deep ? "depth" : "json", ""};
  }
  const object root(tree);
  bid_request into;
  into.id = root.required_id("id");
  into.test = root.integer("test", 0, 1) == 1;
  into.at = root.integer("at").value_or(2);
  into.tmax = root.integer("tmax", 0).value_or(0);
  into.cur = root.texts("cur", 64);
  into.bcat = root.texts("bcat", 4096, true);
  into.badv = root.texts("badv", 4096);
  into.bapp = root.texts("bapp", 4096);
  into.acat = root.texts("acat", 4096, true);
  into.cattax = root.integer("cattax").value_or(1);
  into.wseat = root.texts("wseat", 4096);
  into.bseat = root.texts("bseat", 4096);
  into.wlang = root.texts("wlang", 4096);
  into.wlangb = root.texts("wlangb", 4096);
  read_where(root, into, memory);
  read_who(root, into, memory);
  if (into.test) {
    if (const auto ext = root.child("ext")) {
      if (const auto own = ext->child("adclick")) {
        into.time_us = own->integer("time_us", 0, 9'007'199'254'740'991);
      }
    }
  }
  const value *list = root.find("imp", kind::list);
  if (list == nullptr) {
    root.refuse("missing", "imp");
  }
  if (list->items.empty()) {
    root.refuse("empty", "imp");
  }
  const std::span<const value> items = root.list("imp", 32);
  const std::span<imp> imps = made<imp>(items.size(), memory);
  // An imp that cannot be read is left out; when that is all of them, the first one says why.
  std::size_t n = 0;
  std::optional<invalid> why;
  for (std::size_t i = 0; i < items.size(); ++i) {
    try {
      imps[n] = read_imp(root.entry("imp", items[i], i), imps.first(n), into.at, memory);
      ++n;
    } catch (const invalid &one) {
      why = why ? why : one;
    }
  }
  if (n == 0) {
    throw *why;
  }
  into.imps = imps.first(n);
  into.left_out = items.size() - n;
  return into;
}

}  // namespace adserver
