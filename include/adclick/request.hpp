// A request with its arrays, and what is wrong with one. A part of adclick.hpp: include that.

#ifndef ADCLICK_REQUEST_HPP
#define ADCLICK_REQUEST_HPP

#include "result.hpp"
#include "types.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

namespace adclick {

// Values of candidates in columns: handles once, then a block of ids and one of numbers, row after row, a row for each candidate
// (adclick_columns). A number that is NaN is missing, and with `has_missing_id` so is an id that equals `missing_id`.
struct columns {
  span<const std::uint32_t> id_features;
  span<const std::uint64_t> ids;
  span<const std::uint32_t> number_features;
  span<const float> numbers;
  bool has_missing_id = false;
  std::uint64_t missing_id = 0;
};

// A request and its arrays. The counts and the size inside `request` are set from the spans; what stands there is not read.
// The request is copied, the arrays are not: they stay the caller's, and must outlive this.
struct input {
  adclick_request request;
  span<const value> values;
  span<const candidate> candidates;
  span<const value> candidate_values;
  adclick::columns columns{};
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

// The counts of the columns.
inline adclick_columns counted(const columns &in) noexcept {
  adclick_columns counts{};
  counts.struct_size = sizeof counts;
  counts.flags = in.has_missing_id ? ADCLICK_COLUMNS_MISSING_ID : 0;
  counts.n_ids = static_cast<std::uint32_t>(in.id_features.size());
  counts.n_numbers = static_cast<std::uint32_t>(in.number_features.size());
  counts.missing_id = in.missing_id;
  return counts;
}

// Whether the blocks have a row for each candidate.
inline bool has_rows(const columns &in, std::size_t candidates) noexcept {
  const auto is = [candidates](std::size_t cells, std::size_t width) {
    return fits(width) && (width == 0 ? cells == 0 : cells % width == 0 && cells / width == candidates);
  };
  return is(in.ids.size(), in.id_features.size()) && is(in.numbers.size(), in.number_features.size());
}

inline failure no_rows() noexcept {
  return failure(ADCLICK_INVALID_ARGUMENT, "columns: expected a row of ids and of numbers for each candidate");
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
