// Whether a request lets its user be known (../../openrtb/MAPPING.md, section 4).

#ifndef ADSERVER_CONSENT_HPP
#define ADSERVER_CONSENT_HPP

#include <cstdint>

#include "json.hpp"

namespace adserver {

// Reads TCF, GPP and US privacy signals of a request's `regs` and `user`, each of which may be missing (NULL). False when one of
// them refuses, or cannot be read. `vendor` is the bidder's number in the Global Vendor List; 0 = it has none.
bool permits(const json::value *regs, const json::value *user, std::int64_t vendor) noexcept;

}  // namespace adserver

#endif  // ADSERVER_CONSENT_HPP
