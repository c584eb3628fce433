// JSON texts as trees that keep the digits of numbers, so that money is never a binary float.

#ifndef ADSERVER_JSON_HPP
#define ADSERVER_JSON_HPP

#include <cstdint>
#include <memory_resource>
#include <span>
#include <string>
#include <string_view>

namespace adserver::json {

enum class kind : std::uint8_t { null, boolean, number, text, list, object };

struct member;

// Everything that it refers to stands in the memory that the parser was given.
struct value {
  kind type = kind::null;
  bool truth = false;
  // A text without its escapes; a number as it is written.
  std::string_view text = {};
  std::span<const value> items = {};
  std::span<const member> members = {};

  // The last member of that name; NULL when there is none or it is null, or when this is no object.
  [[nodiscard]] const value *find(std::string_view name) const noexcept;
};

struct member {
  std::string_view name;
  value held;
};

enum class failure : std::uint8_t { none, syntax, too_deep };

// The deepest nesting of objects and lists that is read.
inline constexpr std::size_t max_depth = 32;

// Reads one text of JSON in UTF-8 with nothing but white space behind it.
failure parse(std::string_view text, std::pmr::memory_resource &memory, value &out);

// Appends a text as JSON writes it, with its quotes; or what stands between them.
void append_quoted(std::string &out, std::string_view text);
void append_escaped(std::string &out, std::string_view text);

}  // namespace adserver::json

#endif  // ADSERVER_JSON_HPP
