// Bodies that come compressed (../../openrtb/MAPPING.md, section 1).

#ifndef ADSERVER_GZIP_HPP
#define ADSERVER_GZIP_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace adserver {

enum class inflated : std::uint8_t { done, too_large, broken };

// Reads a gzip file of one member whose content has at most so many bytes.
inflated gunzip(std::string_view file, std::size_t most, std::string &out);

}  // namespace adserver

#endif  // ADSERVER_GZIP_HPP
