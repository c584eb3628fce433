// Bid responses (../../openrtb/MAPPING.md, section 8).

#ifndef ADSERVER_RESPONSE_HPP
#define ADSERVER_RESPONSE_HPP

#include <adclick.hpp>

#include <cstdint>
#include <string>
#include <string_view>

#include "campaigns.hpp"
#include "native.hpp"
#include "request.hpp"

namespace adserver {

// What the calls for one request's imps did together.
struct totals {
  std::uint64_t generation = 0;
  std::uint64_t scored = 0;
  std::uint64_t cut = 0;
  std::uint64_t missing = 0;
};

// A winner and what is asked for it, in micros of the response's currency.
struct sale {
  const ad &one;
  const imp &place;
  const adclick::winner &winner;
  std::int64_t price;
  const native_request *native;  // for native ads
  std::string_view deal;         // by which it is sold; empty: in the open auction
  bool nobody;                   // nothing of the user may be kept with its events
};

// Appends one bid. What the engine thought of it is for tests alone.
void append_bid(std::string &out, const campaigns &all, const sale &of, bool test);

// Appends what stands around the bids.
void append_head(std::string &out, std::string_view request_id);
void append_tail(std::string &out, const bid_request &request, std::string_view seat, std::string_view currency,
                 const totals &sums, std::string_view user);

// The body of a 400.
void append_invalid(std::string &out, const invalid &why);

// 16 lower-case digits. An impression's id has 32: the upper half, then the lower one.
std::string hex(std::uint64_t number);

}  // namespace adserver

#endif  // ADSERVER_RESPONSE_HPP
