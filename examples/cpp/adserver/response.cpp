#include "response.hpp"

#include <array>
#include <charconv>
#include <cmath>

#include "json.hpp"
#include "money.hpp"

namespace adserver {
namespace {

constexpr std::string_view kind_names[] = {"cpm", "cpc", "cpa", "ocpm"};

void append_number(std::string &out, std::int64_t number) {
  std::array<char, 24> digits;
  out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr);
}

// The fewest digits that read back as the same float.
void append_float(std::string &out, float number) {
  std::array<char, 32> digits;
  out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr);
}

}  // namespace

std::string hex(std::uint64_t number) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text(16, '0');
  for (std::size_t i = 16; i-- > 0; number >>= 4) {
    text[i] = digits[number & 15];
  }
  return text;
}

void append_head(std::string &out, std::string_view request_id) {
  out += "{\"id\":";
  json::append_quoted(out, request_id);
  out += R"(,"seatbid":[{"bid":[)";
}

void append_bid(std::string &out, const campaigns &all, const sale &of, bool test) {
  const ad &one = of.one;
  std::string impression = hex(of.winner.impression_id_high) + hex(of.winner.impression_id);
  out += "{\"id\":\"";
  out += impression;
  impression += of.nobody ? "n" : "";
  out += "\",\"impid\":";
  json::append_quoted(out, of.place.id);
  out += ",\"price\":";
  money::append(out, of.price);
  if (!one.nurl.empty()) {
    out += ",\"nurl\":";
    one.nurl.append(out, impression);
  }
  if (!one.burl.empty()) {
    out += ",\"burl\":";
    one.burl.append(out, impression);
  }
  out += ",\"adm\":";
  if (of.native != nullptr) {
    std::string answer;
    append_native(answer, *of.native, one, all.advertisers[one.advertiser], impression);
    json::append_quoted(out, answer);
  } else {
    one.adm.append(out, impression);
  }
  out += one.traits_json;
  if (!of.deal.empty()) {
    out += ",\"dealid\":";
    json::append_quoted(out, of.deal);
  }
  out += one.is == shape::banner ? ",\"mtype\":1" : one.is == shape::video ? ",\"mtype\":2" : ",\"mtype\":4";
  if (one.is != shape::native) {
    out += ",\"w\":";
    append_number(out, one.w);
    out += ",\"h\":";
    append_number(out, one.h);
  }
  if (test) {
    out += R"(,"ext":{"adclick":{"kind":")";
    out += kind_names[one.bid_kind];
    out += "\",\"ecpm_micros\":";
    append_number(out, of.winner.ecpm_micros);
    out += ",\"price_micros\":";
    append_number(out, of.winner.price_micros);
    out += ",\"pctr\":";
    append_float(out, of.winner.pctr);
    if (!std::isnan(of.winner.pcvr)) {
      out += ",\"pcvr\":";
      append_float(out, of.winner.pcvr);
    }
    out += "}}";
  }
  out += '}';
}

void append_tail(std::string &out, const bid_request &request, std::string_view seat, std::string_view currency,
                 const totals &sums, std::string_view user) {
  out += "],\"seat\":";
  json::append_quoted(out, seat);
  out += "}],\"bidid\":\"";
  out += hex(adclick::hash(request.id));
  out += "\",\"cur\":";
  json::append_quoted(out, currency);
  if (request.test) {
    out += R"(,"ext":{"adclick":{"generation":")";
    out += hex(sums.generation);
    out += "\",\"scored\":" + std::to_string(sums.scored) + ",\"cut\":" + std::to_string(sums.cut) +
           ",\"missing\":" + std::to_string(sums.missing) + ",\"left_out\":" + std::to_string(request.left_out) + ",\"user\":\"";
    out += user;
    out += "\"}}";
  }
  out += '}';
}

void append_invalid(std::string &out, const invalid &why) {
  out += R"({"nbr":2,"error":")";
  out += why.error;
  out += "\",\"at\":";
  json::append_quoted(out, why.at);
  out += '}';
}

}  // namespace adserver
