#include "nftables/objects.h"

#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <set>
#include <stdexcept>
#include <tuple>

#include "nftables/encoding.h"

namespace cni::nftables {
namespace {

constexpr std::uint8_t kCommentPiece = 0;  // of tables, rules and elements alike
constexpr std::size_t kLongestPiece = 255;

Bytes comment(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text.c_str(), text.size() + 1));
  Bytes user_data;
  append_user_data(user_data, kCommentPiece, bytes);
  return user_data;
}

}  // namespace

Family table_family(inet::Family family) {
  return family == inet::Family::kIpv4 ? Family::kIp4 : Family::kIp6;
}

const char* name(Family family) {
  switch (family) {
    case Family::kInet:
      return "inet";
    case Family::kIp4:
      return "ip";
    case Family::kBridge:
      return "bridge";
    case Family::kIp6:
      return "ip6";
  }
  return "?";
}

std::string TableId::text() const {
  return std::string(nftables::name(family)) + ' ' + name;
}

std::uint32_t address_type(inet::Family family) {
  return family == inet::Family::kIpv4 ? kTypeIp4 : kTypeIp6;
}

std::uint32_t concatenated_type(std::initializer_list<std::uint32_t> types) {
  constexpr unsigned kBitsPerType = 6;
  std::uint32_t all = 0;
  for (const std::uint32_t type : types) all = all << kBitsPerType | type;
  return all;
}

std::string Rule::jump_target() const {
  if (expressions.empty() || expressions.back().name != "immediate") return {};
  const auto verdict = read_verdict(expressions.back().parse(), NFTA_IMMEDIATE_DATA);
  return verdict ? verdict->chain : std::string();
}

std::string Rule::comment() const {
  const auto text = find_user_data(user_data, kCommentPiece);
  if (!text) return {};
  const auto* begin = reinterpret_cast<const char*>(text->data());
  return {begin, std::find(begin, begin + text->size(), '\0')};
}

bool has_duplicates(std::span<const Element> elements) {
  using Identity = std::tuple<const Bytes&, const Bytes&, bool>;
  std::set<Identity> seen;
  return !std::ranges::all_of(elements, [&](const Element& element) {
    return seen.emplace(element.key, element.key_end, element.interval_end).second;
  });
}

Bytes table_comment(const std::string& text) {
  return comment(text);
}
Bytes rule_comment(const std::string& text) {
  return comment(text);
}
Bytes element_comment(const std::string& text) {
  return comment(text);
}

void append_user_data(Bytes& user_data, std::uint8_t type, std::span<const std::byte> content) {
  if (content.size() > kLongestPiece ||
      user_data.size() + 2 + content.size() > NFT_USERDATA_MAXLEN) {
    throw std::length_error("the user data of an object of nf_tables are too long");
  }
  user_data.push_back(std::byte{type});
  user_data.push_back(static_cast<std::byte>(content.size()));
  user_data.insert(user_data.end(), content.begin(), content.end());
}

std::optional<std::span<const std::byte>> find_user_data(std::span<const std::byte> user_data,
                                                         std::uint8_t type) {
  while (user_data.size() >= 2) {
    const auto length = std::to_integer<std::size_t>(user_data[1]);
    if (user_data.size() - 2 < length) return std::nullopt;
    if (user_data[0] == std::byte{type}) return user_data.subspan(2, length);
    user_data = user_data.subspan(2 + length);
  }
  return std::nullopt;
}

}  // namespace cni::nftables
