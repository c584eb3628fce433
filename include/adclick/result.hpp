// What a call gives: a value, or a failure as a result or an exception. A part of adclick.hpp: include that.

#ifndef ADCLICK_RESULT_HPP
#define ADCLICK_RESULT_HPP

#include "types.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

namespace adclick {

// Why a call failed: a status and a sentence. Holds its text inside, so that making one allocates nothing.
class failure {
 public:
  // Filled by the call that `raw()` is passed to.
  failure() noexcept {
    raw_.struct_size = sizeof raw_;
    raw_.status = ADCLICK_OK;
    raw_.message[0] = '\0';
  }

  failure(adclick_status code, const char *message) noexcept : failure() {
    raw_.status = code;
    std::snprintf(raw_.message, sizeof raw_.message, "%s", message);
  }

  [[nodiscard]] adclick_status code() const noexcept { return static_cast<adclick_status>(raw_.status); }
  [[nodiscard]] const char *message() const noexcept { return raw_.message; }
  [[nodiscard]] adclick_error *raw() noexcept { return &raw_; }

 private:
  adclick_error raw_;
};

// A failure as an exception. what() is the message, with the name of the status before it.
class error : public std::runtime_error {
 public:
  explicit error(const failure &why)
      : std::runtime_error(std::string(adclick_status_name(why.code())) + ": " + why.message()), code_(why.code()) {}

  [[nodiscard]] adclick_status code() const noexcept { return code_; }

 private:
  adclick_status code_;
};

namespace detail {

[[noreturn]] inline void fail(const failure &why) {
#if defined(__cpp_exceptions)
  throw error(why);
#else
  std::fprintf(stderr, "libadclick: %s: %s\n", adclick_status_name(why.code()), why.message());
  std::abort();
#endif
}

// Whether a length fits the 32-bit counts of the C structs.
inline bool fits(std::size_t size) noexcept { return size <= UINT32_MAX; }

template <class T>
inline T *or_null(span<T> s) noexcept {
  return s.empty() ? nullptr : s.data();
}

}  // namespace detail

// What a try_… call returns: a value, or a failure.
template <class T>
class [[nodiscard]] result {
 public:
  result(T &&value) noexcept : inside_(std::in_place_index<0>, std::move(value)) {}
  result(const T &value) noexcept : inside_(std::in_place_index<0>, value) {}
  result(const failure &why) noexcept : inside_(std::in_place_index<1>, why) {}

  [[nodiscard]] bool ok() const noexcept { return inside_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }
  // ADCLICK_OK or the failure's status.
  [[nodiscard]] adclick_status code() const noexcept { return ok() ? ADCLICK_OK : std::get_if<1>(&inside_)->code(); }
  // The failure's message; "" when there is none.
  [[nodiscard]] const char *message() const noexcept { return ok() ? "" : std::get_if<1>(&inside_)->message(); }

  // The value; throws adclick::error when there is none.
  T &value() & {
    check();
    return *std::get_if<0>(&inside_);
  }
  const T &value() const & {
    check();
    return *std::get_if<0>(&inside_);
  }
  T &&value() && {
    check();
    return std::move(*std::get_if<0>(&inside_));
  }
  // The value, which must be there.
  T &operator*() & noexcept { return *std::get_if<0>(&inside_); }
  const T &operator*() const & noexcept { return *std::get_if<0>(&inside_); }
  T &&operator*() && noexcept { return std::move(*std::get_if<0>(&inside_)); }
  T *operator->() noexcept { return std::get_if<0>(&inside_); }
  const T *operator->() const noexcept { return std::get_if<0>(&inside_); }

 private:
  void check() const {
    if (const failure *why = std::get_if<1>(&inside_)) {
      detail::fail(*why);
    }
  }

  std::variant<T, failure> inside_;
};

// Nothing but success.
struct done {};

}  // namespace adclick

#endif  // ADCLICK_RESULT_HPP
