// The structs of adclick.h by their names here, and spans of them. A part of adclick.hpp: include that.

#ifndef ADCLICK_TYPES_HPP
#define ADCLICK_TYPES_HPP

#include "../adclick.h"

#include <cstddef>
#include <type_traits>
#include <utility>

#if defined(__has_include) && __cplusplus >= 202002L
#if __has_include(<span>)
#include <span>
#endif
#endif

namespace adclick {

using value = adclick_value;
using row = adclick_row;
using request = adclick_request;
using candidate = adclick_candidate;
using winner = adclick_winner;
using outcome = adclick_outcome;
using explanation = adclick_explanation;
using upsert_result = adclick_upsert_result;
using table_info = adclick_table_info;
using ad_cache = adclick_ad_cache;
using model = adclick_model;
using model_input = adclick_model_input;
using follow_state = adclick_follow_state;
using status = adclick_status;

// Some objects in a row that belong to somebody else: std::span for C++17.
template <class T>
class span {
 public:
  constexpr span() noexcept = default;
  constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
  template <std::size_t N>
  constexpr span(T (&array)[N]) noexcept : data_(array), size_(N) {}
  // From whatever has data() and size(). A temporary converts to a span of const only.
  template <class C, class Element = std::remove_pointer_t<decltype(std::declval<C &>().data())>,
            class = std::enable_if_t<std::is_convertible_v<Element (*)[], T (*)[]> &&
                                     std::is_convertible_v<decltype(std::declval<C &>().size()), std::size_t>>>
  constexpr span(C &container) noexcept : data_(container.data()), size_(container.size()) {}
  template <class C, class Element = std::remove_pointer_t<decltype(std::declval<const C &>().data())>,
            class = std::enable_if_t<std::is_convertible_v<Element (*)[], T (*)[]> &&
                                     std::is_convertible_v<decltype(std::declval<const C &>().size()), std::size_t>>,
            class = void>
  constexpr span(const C &container) noexcept : data_(container.data()), size_(container.size()) {}

  [[nodiscard]] constexpr T *data() const noexcept { return data_; }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
  [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] constexpr T *begin() const noexcept { return data_; }
  [[nodiscard]] constexpr T *end() const noexcept { return data_ + size_; }
  [[nodiscard]] constexpr T &operator[](std::size_t at) const noexcept { return data_[at]; }

 private:
  T *data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace adclick

#ifdef __cpp_lib_span
// So that a temporary span converts to std::span.
template <class T>
inline constexpr bool std::ranges::enable_borrowed_range<adclick::span<T>> = true;
#endif

#endif  // ADCLICK_TYPES_HPP
