// Scorers: what serves. A part of adclick.hpp: include that.

#ifndef ADCLICK_SCORER_HPP
#define ADCLICK_SCORER_HPP

#include "request.hpp"
#include "result.hpp"
#include "types.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace adclick {

// One caller's memory, sized once. Belongs to one thread at a time; may move between threads.
class scorer {
 public:
  // Holds nothing; calls on it fail.
  scorer() noexcept = default;
  explicit scorer(adclick_scorer *owned) noexcept : handle_(owned) {}
  scorer(scorer &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  scorer &operator=(scorer &&other) noexcept {
    if (this != &other) {
      adclick_scorer_free(std::exchange(handle_, std::exchange(other.handle_, nullptr)));
    }
    return *this;
  }
  scorer(const scorer &) = delete;
  scorer &operator=(const scorer &) = delete;
  ~scorer() { adclick_scorer_free(handle_); }

  explicit operator bool() const noexcept { return handle_ != nullptr; }
  [[nodiscard]] adclick_scorer *handle() noexcept { return handle_; }

  // Scores (adclick_scorer_score), with the columns if there are any. `pctr` has an entry for each candidate; `pcvr` too, or is
  // empty when it is not wanted. Filled with NaN is what the model has no head for.
  [[nodiscard]] result<outcome> try_score(const input &in, span<float> pctr, span<float> pcvr = {}) noexcept {
    adclick_request sized;
    if (!detail::counted(in, sized)) {
      return detail::too_long();
    }
    if (pctr.size() != in.candidates.size() || !(pcvr.empty() || pcvr.size() == pctr.size())) {
      return failure(ADCLICK_INVALID_ARGUMENT, "pctr and pcvr: expected one entry for each candidate");
    }
    if (!detail::has_rows(in.columns, in.candidates.size())) {
      return detail::no_rows();
    }
    outcome done = empty_outcome();
    failure why;
    const adclick_columns columns = detail::counted(in.columns);
    if (adclick_scorer_score_columns(
            handle_, &sized, detail::or_null(in.values), detail::or_null(in.candidates), detail::or_null(in.candidate_values),
            &columns, detail::or_null(in.columns.id_features), detail::or_null(in.columns.ids),
            detail::or_null(in.columns.number_features), detail::or_null(in.columns.numbers), detail::or_null(pctr),
            detail::or_null(pcvr), &done, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return done;
  }
  outcome score(const input &in, span<float> pctr, span<float> pcvr = {}) { return try_score(in, pctr, pcvr).value(); }

  // adclick_scorer_score_dense. `x` has `width` floats for each entry of `pctr`.
  [[nodiscard]] result<outcome> try_score_dense(span<const float> x, std::size_t width, span<float> pctr,
                                                span<float> pcvr = {}) noexcept {
    if (!detail::fits(width) || !detail::fits(pctr.size())) {
      return detail::too_long();
    }
    if (width != 0 ? x.size() % width != 0 || x.size() / width != pctr.size() : !x.empty()) {
      return failure(ADCLICK_INVALID_ARGUMENT, "x: expected `width` floats for each entry of pctr");
    }
    if (!(pcvr.empty() || pcvr.size() == pctr.size())) {
      return failure(ADCLICK_INVALID_ARGUMENT, "pcvr: expected as many entries as pctr has");
    }
    outcome done = empty_outcome();
    failure why;
    if (adclick_scorer_score_dense(handle_, detail::or_null(x), static_cast<std::uint32_t>(pctr.size()),
                                   static_cast<std::uint32_t>(width), detail::or_null(pctr), detail::or_null(pcvr),
                                   &done, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return done;
  }
  outcome score_dense(span<const float> x, std::size_t width, span<float> pctr, span<float> pcvr = {}) {
    return try_score_dense(x, width, pctr, pcvr).value();
  }

  // Decides (adclick_scorer_decide), with the columns if there are any. `winners` has room for min(request.n_slots, candidates);
  // `reasons` has an entry for each candidate, or is empty when they are not wanted. The outcome says how many winners there
  // are.
  [[nodiscard]] result<outcome> try_decide(const input &in, span<winner> winners,
                                           span<std::uint32_t> reasons = {}) noexcept {
    adclick_request sized;
    if (!detail::counted(in, sized) || !detail::fits(winners.size())) {
      return detail::too_long();
    }
    if (!(reasons.empty() || reasons.size() == in.candidates.size())) {
      return failure(ADCLICK_INVALID_ARGUMENT, "reasons: expected one entry for each candidate");
    }
    if (!detail::has_rows(in.columns, in.candidates.size())) {
      return detail::no_rows();
    }
    outcome done = empty_outcome();
    failure why;
    const adclick_columns columns = detail::counted(in.columns);
    if (adclick_scorer_decide_columns(
            handle_, &sized, detail::or_null(in.values), detail::or_null(in.candidates), detail::or_null(in.candidate_values),
            &columns, detail::or_null(in.columns.id_features), detail::or_null(in.columns.ids),
            detail::or_null(in.columns.number_features), detail::or_null(in.columns.numbers), detail::or_null(winners),
            static_cast<std::uint32_t>(winners.size()), detail::or_null(reasons), &done, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return done;
  }
  outcome decide(const input &in, span<winner> winners, span<std::uint32_t> reasons = {}) {
    return try_decide(in, winners, reasons).value();
  }

  // adclick_scorer_explain: what this scorer's last decision found of one of its candidates.
  [[nodiscard]] result<explanation> try_explain(std::size_t index) noexcept {
    explanation told{};
    told.struct_size = sizeof told;
    failure why;
    if (!detail::fits(index)) {
      return detail::too_long();
    }
    if (adclick_scorer_explain(handle_, static_cast<std::uint32_t>(index), &told, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return told;
  }
  explanation explain(std::size_t index) { return try_explain(index).value(); }

 private:
  static outcome empty_outcome() noexcept {
    outcome empty{};
    empty.struct_size = sizeof empty;
    return empty;
  }

  adclick_scorer *handle_ = nullptr;
};

}  // namespace adclick

#endif  // ADCLICK_SCORER_HPP
