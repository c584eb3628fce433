// What came of bids: impressions, clicks, conversions, notices (../../openrtb/MAPPING.md, section 9).

#ifndef ADSERVER_EVENTS_HPP
#define ADSERVER_EVENTS_HPP

#include <adclick.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "campaigns.hpp"

namespace adserver {

// Who sent an event, as far as HTTP says it.
struct client {
  std::string_view address;  // empty: not known
  std::string_view user_agent;
  std::string_view purpose;  // of a request that fetches ahead
  bool refuses = false;      // a header says that nothing of the user may be kept
};

struct event_answer {
  int status;
  std::string_view fate = {};      // "recorded", "repeated", ...; empty: it is invalid
  std::string_view location = {};  // where a click goes; stands in the campaigns
  std::string body = {};
};

class event_desk {
 public:
  event_desk(adclick::engine &engine, const campaigns &all);

  // Whether there are events of that name.
  static bool knows(std::string_view name) noexcept;

  // Takes the event `name`. Its parameters are those of the query, or of a JSON object in the body when that is not empty.
  event_answer take(std::string_view name, std::string_view query, std::string_view body, const client &from) const;

 private:
  using parameters = std::map<std::string, std::string, std::less<>>;
  event_answer record(std::string_view name, const parameters &held, const client &from) const;

  adclick::engine *engine_;
  const campaigns *all_;
  std::map<std::string, const ad *, std::less<>> ads_;
};

// The class of an address: a hash of its first 24 bits (IPv4) or 48 (IPv6); 0 when it is none.
std::uint64_t address_class(std::string_view address);
// An adclick_agent.
std::uint32_t agent_class(std::string_view user_agent, std::string_view purpose);

}  // namespace adserver

#endif  // ADSERVER_EVENTS_HPP
