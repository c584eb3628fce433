// adclick.hpp: libadclick for C++17 and later. Header-only, over adclick.h, which says in full what each call does.
//
//  - adclick::engine, adclick::staged and adclick::scorer own their handles: they move, do not copy, and close themselves.
//  - Each call comes twice: `open`, `decide`, … throw adclick::error; `try_open`, `try_decide`, … are noexcept and return
//    adclick::result<T>. Built without exceptions, a call that would throw ends the program: use try_….
//  - Arrays go in and out as spans, whose lengths become the counts of the C structs and are checked. A std::vector, a
//    std::array, a plain array or a std::span converts to adclick::span, and that to std::span.
//  - const means that any thread may make the call at any time: all calls on an engine. Calls on a scorer are not const.
//  - score, score_dense and decide allocate nothing (a thrown error does).
//
// The pieces stand in the directory adclick beside this file, one for each concept.

#ifndef ADCLICK_HPP
#define ADCLICK_HPP

#include "adclick/auction.hpp"
#include "adclick/engine.hpp"
#include "adclick/request.hpp"
#include "adclick/result.hpp"
#include "adclick/scorer.hpp"
#include "adclick/types.hpp"

#include <cstdint>
#include <string_view>

namespace adclick {

// The id of a category string, for value::id.
[[nodiscard]] inline std::uint64_t hash(std::string_view text) noexcept {
  return adclick_hash(text.data(), text.size());
}

// The key of a table row that belongs to several ids, in the order in which the table's key names them.
[[nodiscard]] inline std::uint64_t key(span<const std::uint64_t> ids) noexcept {
  return adclick_key(detail::or_null(ids), ids.size());
}

// The best instruction set that this CPU has.
[[nodiscard]] inline const char *best_kernel() noexcept { return adclick_kernel(nullptr); }

// The name of a status ("ADCLICK_CLOSED") and of a reason ("below_reserve"), for logs.
[[nodiscard]] inline const char *status_name(std::int32_t code) noexcept { return adclick_status_name(code); }
[[nodiscard]] inline const char *reason_name(std::uint32_t reason) noexcept { return adclick_reason_name(reason); }

// The version of the linked library, such as "0.1.0".
[[nodiscard]] inline const char *version() noexcept { return adclick_version(); }

// Whether the linked library runs programs compiled with this header.
[[nodiscard]] inline bool compatible() noexcept { return adclick_abi_version() >= ADCLICK_ABI_VERSION; }

}  // namespace adclick

#endif  // ADCLICK_HPP
