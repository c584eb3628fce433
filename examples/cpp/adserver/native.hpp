// Native ads: what a native request asks for, and the answer to it (../../openrtb/MAPPING.md, sections 5 and 8).

#ifndef ADSERVER_NATIVE_HPP
#define ADSERVER_NATIVE_HPP

#include <cstdint>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "campaigns.hpp"
#include "json.hpp"

namespace adserver {

struct asset {
  enum class part : std::uint8_t { title, icon, image, sponsor, description, other };

  std::int64_t id = 0;
  bool required = false;
  part asks = part::other;
  std::int64_t longest = 0;  // of a title or a datum, in code points; 0 = any length
  // What a picture must be: its size, or the least one; 0 = any.
  std::int64_t w = 0;
  std::int64_t h = 0;
  std::int64_t wmin = 0;
  std::int64_t hmin = 0;
  std::span<const json::value> mimes = {};  // none: any
};

// How the answer is to tell an impression.
enum class tracking : std::uint8_t { none, imptrackers, eventtrackers };

struct native_request {
  bool wrapped = false;
  tracking tracked = tracking::imptrackers;
  std::pmr::vector<asset> assets;
};

// Nothing when it is not as the mapping says: then no native ad passes.
std::optional<native_request> read_native(const json::value &asked, std::pmr::memory_resource &memory);

// Whether a native ad has what is required, and anything at all.
bool fills(const native_request &request, const ad &one, const advertiser &by) noexcept;

// Appends the answer, a JSON text.
void append_native(std::string &out, const native_request &request, const ad &one, const advertiser &by, std::string_view impression);

}  // namespace adserver

#endif  // ADSERVER_NATIVE_HPP
