#include "json.hpp"

#include <boost/json/basic_parser_impl.hpp>

#include <algorithm>
#include <cstring>
#include <vector>

namespace adserver::json {
namespace {

using boost::json::error_code;
using view = boost::json::string_view;

// Builds the tree from what Boost's parser finds: finished values wait on a stack until their list or object ends.
class builder {
 public:
  static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);

  explicit builder(std::pmr::memory_resource &memory) : memory_(&memory), waiting_(&memory), parts_(&memory) {}

  [[nodiscard]] const value &root() const { return waiting_.front().held; }

  bool on_document_begin(error_code &) { return true; }
  bool on_document_end(error_code &) { return true; }
  bool on_object_begin(error_code &) {
    names_.push_back(name_);
    return true;
  }
  bool on_object_end(std::size_t n, error_code &) {
    value object{.type = kind::object};
    object.members = kept<member>(n, [](const member &from) { return from; });
    return close(n, object);
  }
  bool on_array_begin(error_code &) {
    names_.push_back(name_);
    return true;
  }
  bool on_array_end(std::size_t n, error_code &) {
    value list{.type = kind::list};
    list.items = kept<value>(n, [](const member &from) { return from.held; });
    return close(n, list);
  }
  bool on_key_part(view part, std::size_t, error_code &) { return more(part); }
  bool on_key(view part, std::size_t, error_code &) {
    name_ = whole(part);
    return true;
  }
  bool on_string_part(view part, std::size_t, error_code &) { return more(part); }
  bool on_string(view part, std::size_t, error_code &) { return push({.type = kind::text, .text = whole(part)}); }
  bool on_number_part(view part, error_code &) { return more(part); }
  bool on_int64(std::int64_t, view part, error_code &) { return number(part); }
  bool on_uint64(std::uint64_t, view part, error_code &) { return number(part); }
  bool on_double(double, view part, error_code &) { return number(part); }
  bool on_bool(bool truth, error_code &) { return push({.type = kind::boolean, .truth = truth}); }
  bool on_null(error_code &) { return push({}); }
  bool on_comment_part(view, error_code &) { return true; }
  bool on_comment(view, error_code &) { return true; }

 private:
  template <class T, class Pick>
  std::span<const T> kept(std::size_t n, Pick pick) {
    if (n == 0) {
      return {};
    }
    T *array = static_cast<T *>(memory_->allocate(n * sizeof(T), alignof(T)));
    const member *from = waiting_.data() + (waiting_.size() - n);
    for (std::size_t i = 0; i < n; ++i) {
      new (array + i) T(pick(from[i]));
    }
    return {array, n};
  }
  bool close(std::size_t n, const value &whole) {
    waiting_.resize(waiting_.size() - n);
    name_ = names_.back();
    names_.pop_back();
    return push(whole);
  }
  bool push(const value &one) {
    waiting_.push_back({name_, one});
    return true;
  }
  bool number(view part) { return push({.type = kind::number, .text = whole(part)}); }
  bool more(view part) {
    parts_.append(part.data(), part.size());
    return true;
  }
  std::string_view whole(view last) {
    const std::size_t size = parts_.size() + last.size();
    if (size == 0) {
      return {};
    }
    char *chars = static_cast<char *>(memory_->allocate(size, 1));
    std::copy(parts_.begin(), parts_.end(), chars);
    std::copy(last.begin(), last.end(), chars + parts_.size());
    parts_.clear();
    return {chars, size};
  }

  std::pmr::memory_resource *memory_;
  std::pmr::vector<member> waiting_;
  std::pmr::string parts_;
  std::string_view name_;
  std::vector<std::string_view> names_;
};

}  // namespace

const value *value::find(std::string_view name) const noexcept {
  for (auto one = members.rbegin(); one != members.rend(); ++one) {
    if (one->name == name) {
      return one->held.type == kind::null ? nullptr : &one->held;
    }
  }
  return nullptr;
}

failure parse(std::string_view text, std::pmr::memory_resource &memory, value &out) {
  boost::json::parse_options options;
  options.max_depth = max_depth;
  boost::json::basic_parser<builder> parser(options, memory);
  error_code error;
  const std::size_t read = parser.write_some(false, text.data(), text.size(), error);
  if (error) {
    return error == boost::json::error::too_deep ? failure::too_deep : failure::syntax;
  }
  if (text.substr(read).find_first_not_of(" \t\r\n") != std::string_view::npos) {
    return failure::syntax;
  }
  out = parser.handler().root();
  return failure::none;
}

void append_escaped(std::string &out, std::string_view text) {
  constexpr char hex[] = "0123456789abcdef";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += "\\u00";
      out += hex[static_cast<unsigned char>(c) >> 4];
      out += hex[c & 15];
    } else {
      out += c;
    }
  }
}

void append_quoted(std::string &out, std::string_view text) {
  out += '"';
  append_escaped(out, text);
  out += '"';
}

}  // namespace adserver::json
