// Native ads: what a native request asks for, and the answer to it (../../openrtb/MAPPING.md, sections 5 and 8).

#ifndef ADSERVER_NATIVE_HPP
#define ADSERVER_NATIVE_HPP

#include <cstdint>
#include <memory_resource>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "campaigns.hpp"

namespace adserver {

struct asset {
  enum class part : std::uint8_t { title, icon, image, sponsor, description, other };

  std::int64_t id = 0;
  bool required = false;
  part asks = part::other;
  std::int64_t longest = 0;  // of a title, in code points; 0 = any length
};

struct native_request {
  bool wrapped = false;
  std::pmr::vector<asset> assets;
};

// Nothing when it is not as the mapping says: then no native ad passes.
std::optional<native_request> read_native(std::string_view text, std::pmr::memory_resource &memory);

// Whether a native ad has what is required, and anything at all.
bool fills(const native_request &request, const ad &one) noexcept;

// Appends the answer, a JSON text.
void append_native(std::string &out, const native_request &request, const ad &one, const advertiser &by);

}  // namespace adserver

#endif  // ADSERVER_NATIVE_HPP
