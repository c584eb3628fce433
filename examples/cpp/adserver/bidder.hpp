// One thread's way from a bid request to its answer (../../openrtb/MAPPING.md, sections 4 to 7).

#ifndef ADSERVER_BIDDER_HPP
#define ADSERVER_BIDDER_HPP

#include <adclick.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory_resource>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "campaigns.hpp"
#include "native.hpp"
#include "request.hpp"
#include "response.hpp"

namespace adserver {

// The handles of what requests and candidates carry. Got once, at start.
struct inputs {
  explicit inputs(const adclick::engine &engine);

  std::uint32_t device_type;
  std::uint32_t connection;
  std::uint32_t os;
  std::uint32_t country;
  std::uint32_t inventory;
  std::uint32_t content;
  std::uint32_t floor;
  std::uint32_t format;
};

// The standard's reasons for no bid, and from 500 on the servers' own.
enum class no_bid : int {
  technical = 1,
  invalid = 2,
  no_time = 15,
  no_candidate = 500,
  under_floor = 501,
  unknown_currency = 502,
  other_seat = 503,
  other_taxonomy = 504,
  out_of_home = 505,
};

struct answer {
  int status;            // 200, 204 or 400
  no_bid why;            // of a 204
  std::string_view body; // until the next call
};

// What every bidder of a server shares: all of it constant.
struct desk {
  const adclick::engine &engine;
  const campaigns &all;
  inputs handles;
  std::int64_t margin_us;
  // No two processes and no two calls have the same number of a delivery.
  std::uint64_t process = 0;
  mutable std::atomic<std::uint64_t> deliveries{0};
};

class bidder {
 public:
  using clock = std::chrono::steady_clock;

  explicit bidder(const desk &shared);

  // Answers a request whose first byte came at `arrived`.
  answer answer_request(std::string_view body, clock::time_point arrived);
  // The answer to an invalid one.
  answer refuse(const invalid &why);

 private:
  struct result {
    bool bid;
    no_bid why;
  };

  [[nodiscard]] std::optional<no_bid> not_ours(const bid_request &request) const;
  void know_request(const bid_request &request);
  void find_candidates(const bid_request &request, const imp &place, const terms &on, const native_request *native);
  [[nodiscard]] bool repeats(const ad &one, const imp &place) const;
  [[nodiscard]] bool passes(const ad &one, const bid_request &request, const imp &place,
                            const native_request *native) const;
  result decide(const bid_request &request, const imp &place, clock::time_point arrived, std::int64_t rate);
  result sell(const bid_request &request, const imp &place, const terms &on, const native_request *native,
              clock::time_point arrived, std::int64_t rate);

  const desk *shared_;
  adclick::scorer scorer_;
  // A request's memory: given back as a whole.
  std::vector<std::byte> block_;
  std::pmr::monotonic_buffer_resource memory_;

  std::vector<adclick::value> values_;            // of the request; the floor comes last and is each imp's
  std::vector<adclick::value> candidate_values_;
  std::vector<adclick::candidate> candidates_;
  std::vector<std::uint32_t> ads_;                // the candidates' places in the file
  std::vector<bool> won_;                         // ads that won an earlier imp
  std::vector<std::pair<std::string_view, const ad *>> pods_;  // winners of pods
  std::vector<bool> blocked_categories_;
  std::vector<bool> blocked_advertisers_;
  std::vector<std::string_view> languages_;       // of which an ad needs one; none: any
  std::string_view user_;                         // what a test is told of its user
  std::uint64_t delivery_ = 0;                    // 0 for a replay
  adclick::request call_{};
  totals sums_{};
  std::string body_;
};

}  // namespace adserver

#endif  // ADSERVER_BIDDER_HPP
