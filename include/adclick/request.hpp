// A request with its arrays, and what is wrong with one. A part of adclick.hpp: include that.

#ifndef ADCLICK_REQUEST_HPP
#define ADCLICK_REQUEST_HPP

#include "result.hpp"
#include "types.hpp"

#include <cstdint>
#include <string>

namespace adclick {

// A request and its arrays. The counts and the size inside `request` are set from the spans; what stands there is not read.
// The request is copied, the arrays are not: they stay the caller's, and must outlive this.
struct input {
  adclick_request request;
  span<const value> values;
  span<const candidate> candidates;
  span<const value> candidate_values;
};

namespace detail {

// The request with its counts; false when an array is too long for them.
inline bool counted(const input &in, adclick_request &request) noexcept {
  request = in.request;
  request.struct_size = sizeof request;
  request.n_values = static_cast<std::uint32_t>(in.values.size());
  request.n_candidates = static_cast<std::uint32_t>(in.candidates.size());
  request.n_candidate_values = static_cast<std::uint32_t>(in.candidate_values.size());
  request.candidate_size = sizeof(candidate);
  request.winner_size = sizeof(winner);
  return fits(in.values.size()) && fits(in.candidates.size()) && fits(in.candidate_values.size());
}

inline failure too_long() noexcept {
  return failure(ADCLICK_INVALID_ARGUMENT, "an array has more than 4,294,967,295 entries");
}

}  // namespace detail

// What is wrong with a request for the live model: engine::check.
struct check {
  // How many values have each fault.
  adclick_check counts{};
  // A line for each fault, errors first; empty when there is none.
  std::string text;
  // Whether every value is one that the model reads as it is passed. There may be notes.
  [[nodiscard]] bool ok() const noexcept { return counts.n_errors == 0; }
};

}  // namespace adclick

#endif  // ADCLICK_REQUEST_HPP
