#include "gzip.hpp"

#include <boost/beast/zlib/inflate_stream.hpp>
#include <boost/crc.hpp>

namespace adserver {
namespace {

namespace zlib = boost::beast::zlib;

constexpr std::size_t fixed_head = 10;
constexpr std::size_t tail = 8;
constexpr std::size_t step = 16'384;

std::uint32_t little_endian(std::string_view four) {
  std::uint32_t number = 0;
  for (std::size_t i = 4; i-- > 0;) {
    number = number << 8 | static_cast<unsigned char>(four[i]);
  }
  return number;
}

// The length of the head, with its optional parts; npos when it is none.
std::size_t head_length(std::string_view file) {
  constexpr std::size_t none = std::string_view::npos;
  if (file.size() < fixed_head || !file.starts_with("\x1f\x8b\x08")) {
    return none;
  }
  const auto flags = static_cast<unsigned char>(file[3]);
  std::size_t at = fixed_head;
  if ((flags & 0xE0U) != 0) {
    return none;
  }
  if ((flags & 4U) != 0) {  // extra fields
    if (file.size() < at + 2) {
      return none;
    }
    at += 2 + (static_cast<unsigned char>(file[at]) | static_cast<std::size_t>(static_cast<unsigned char>(file[at + 1])) << 8);
  }
  for (const unsigned text : {8U, 16U}) {  // a name, a comment
    if ((flags & text) != 0) {
      const std::size_t end = at <= file.size() ? file.find('\0', at) : none;
      if (end == none) {
        return none;
      }
      at = end + 1;
    }
  }
  return at + ((flags & 2U) != 0 ? 2 : 0);
}

}  // namespace

inflated gunzip(std::string_view file, std::size_t most, std::string &out) {
  out.clear();
  const std::size_t head = head_length(file);
  if (head == std::string_view::npos || head + tail > file.size()) {
    return inflated::broken;
  }
  zlib::inflate_stream stream;
  zlib::z_params at{};
  at.next_in = file.data() + head;
  at.avail_in = file.size() - head;
  boost::beast::error_code failed;
  while (failed != zlib::error::end_of_stream) {
    const std::size_t before = out.size();
    if (before > most) {
      return inflated::too_large;
    }
    out.resize(before + step);
    at.next_out = out.data() + before;
    at.avail_out = step;
    stream.write(at, zlib::Flush::sync, failed);
    out.resize(before + step - at.avail_out);
    if ((failed && failed != zlib::error::end_of_stream && failed != zlib::error::need_buffers) ||
        (!failed && at.avail_in == 0 && at.avail_out > 0) || (failed == zlib::error::need_buffers && out.size() == before)) {
      return inflated::broken;
    }
  }
  if (out.size() > most) {
    return inflated::too_large;
  }
  boost::crc_32_type sum;
  sum.process_bytes(out.data(), out.size());
  const std::string_view rest = file.substr(file.size() - at.avail_in);
  const bool whole = rest.size() == tail && little_endian(rest) == sum.checksum() && little_endian(rest.substr(4)) == out.size();
  return whole ? inflated::done : inflated::broken;
}

}  // namespace adserver
