// Classes of addresses and of user agents, as MAPPING.md says; the same as in the Go and the Java server's tests.

#include <cstdio>
#include <string_view>

#include "events.hpp"

int main() {
  int faults = 0;
  const auto check = [&](bool holds, std::string_view what) {
    if (!holds) {
      ++faults;
      std::printf("FAULT %.*s\n", static_cast<int>(what.size()), what.data());
    }
  };
  constexpr struct {
    std::string_view address, digits;
  } addresses[] = {{"127.0.0.1", "7f0000"},           {"203.0.113.77", "cb0071"},      {"::ffff:1.2.3.4", "010203"},
                   {"2001:db8:1::5", "20010db80001"}, {"2001:DB8:1:ffff::", "20010db80001"}, {"::1", "000000000000"},
                   {"", ""}, {"a.example", ""}, {"256.1.1.1", ""}, {"1.2.3", ""}, {"01.2.3.4", ""}, {"fe80::1%eth0", ""}, {"1.2.3.4:80", ""}};
  for (const auto &[address, digits] : addresses) {
    check(adserver::address_class(address) == (digits.empty() ? 0 : adclick::hash(digits)), address);
  }
  constexpr struct {
    std::string_view agent, purpose;
    std::uint32_t is;
  } agents[] = {{"", "", ADCLICK_AGENT_UNSTATED},
                {"Mozilla/5.0 Firefox/140.0", "", ADCLICK_AGENT_BROWSER},
                {"Mozilla/5.0 (compatible; GoogleBOT/2.1)", "", ADCLICK_AGENT_ROBOT},
                {"curl/8.0", "", ADCLICK_AGENT_ROBOT},
                {"Googlebot", "Prefetch;prerender", ADCLICK_AGENT_PREFETCH},
                {"", "preview", ADCLICK_AGENT_PREFETCH}};
  for (const auto &[agent, purpose, is] : agents) {
    check(adserver::agent_class(agent, purpose) == is, agent);
  }
  return faults == 0 ? 0 : 1;
}
