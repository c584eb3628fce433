// Bid requests, read and checked (../../openrtb/MAPPING.md, section 3).

#ifndef ADSERVER_REQUEST_HPP
#define ADSERVER_REQUEST_HPP

#include <cstdint>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "json.hpp"

namespace adserver {

// Why a request is invalid: answered with 400.
struct invalid {
  const char *error;
  std::string at;
};

struct size {
  std::int64_t w;
  std::int64_t h;
};

struct video {
  std::int64_t linearity = 0;  // 0: any
  std::int64_t placement = 0;
  std::int64_t plcmt = 0;
  std::span<const json::value> durations = {};
  std::span<const json::value> mimes = {};
  std::span<const json::value> protocols = {};
  std::int64_t min_seconds = 0;
  std::int64_t max_seconds = 0;
  std::string_view pod = {};                // empty: none
  std::span<const json::value> dedupe = {};  // what two ads of a pod may not share
};

// Terms on which an imp is sold: the open auction's, or a deal's.
struct terms {
  std::string_view deal = {};  // its id; empty: the open auction
  std::string_view floor = "0";  // a JSON number, not negative
  std::string_view floor_currency = "USD";
  std::int64_t at = 2;
  std::span<const json::value> wseat = {};
  std::span<const json::value> wadomain = {};
};

struct imp {
  std::string_view id;
  terms open = {};
  std::span<const terms> deals = {};
  bool secure = false;
  bool private_auction = false;
  std::int64_t position = 0;  // on the page, by the standard's list; 0: not said
  std::span<const size> sizes = {};
  std::optional<video> clip = {};
  const json::value *native = nullptr;  // the native request: a text, or an object
  // Attributes that a creative must not have, by the ad's shape.
  std::span<const json::value> banner_battr = {};
  std::span<const json::value> video_battr = {};
  std::span<const json::value> native_battr = {};
};

// Everything stands in the body or in the memory that the reader was given.
struct bid_request {
  std::string_view id;
  bool test = false;
  std::int64_t at = 2;
  std::int64_t tmax = 0;
  std::span<const json::value> cur = {};
  std::span<const json::value> bcat = {};
  std::span<const json::value> badv = {};
  std::span<const json::value> bapp = {};
  std::span<const json::value> acat = {};
  std::int64_t cattax = 1;
  std::span<const json::value> wseat = {};
  std::span<const json::value> bseat = {};
  std::span<const json::value> wlang = {};
  std::span<const json::value> wlangb = {};
  bool dooh = false;
  std::string_view inventory = {};
  std::span<const json::value> content = {};
  std::int64_t device_type = 0;
  std::int64_t connection = 0;
  std::string_view os = {};
  std::string_view country = {};
  std::int64_t utc_offset_min = 0;
  std::string_view user = {};             // empty: none
  bool limited = false;                   // the user may not be known, whatever the signals say
  const json::value *regs = nullptr;      // objects, with the signals of consent
  const json::value *person = nullptr;
  std::optional<std::int64_t> time_us = {};
  std::span<const imp> imps = {};
  std::size_t left_out = 0;  // imps that cannot be read
};

// Throws `invalid`.
bid_request read_request(std::string_view body, std::pmr::memory_resource &memory);

// Upper or lower case of ASCII letters; the text itself when nothing changes.
std::string_view upper(std::string_view text, std::pmr::memory_resource &memory);
std::string_view lower(std::string_view text, std::pmr::memory_resource &memory);

// The integer that a JSON number is written as: without fraction and exponent. Nothing when it is not, or not within 64 bits.
enum class integer_fault : std::uint8_t { none, type, range };
integer_fault read_integer(std::string_view number, std::int64_t &out) noexcept;

}  // namespace adserver

#endif  // ADSERVER_REQUEST_HPP
