#include "xtables/legacy_rule.h"

#include <libiptc/libiptc.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#include <variant>

#include "inet/mask.h"
#include "xtables/extension.h"

// Unlike its sister this header does not say that its functions are C. What it includes is there
// already.
extern "C" {
#include <libiptc/libip6tc.h>
}

namespace cni::xtables {
namespace {

// What differs between the families, by the same names.
struct Ip4 {
  using Entry = ipt_entry;
  static constexpr inet::Family kFamily = inet::Family::kIpv4;

  static auto& header(auto& entry) { return entry.ip; }
  static std::uint8_t flags_for(std::uint8_t /*protocol*/) { return 0; }
  static bool has_type_of_service(const Entry& /*entry*/) { return false; }
};

struct Ip6 {
  using Entry = ip6t_entry;
  static constexpr inet::Family kFamily = inet::Family::kIpv6;

  static auto& header(auto& entry) { return entry.ipv6; }
  // Without the flag the protocol is there to be listed, but the rule matches no packet.
  static std::uint8_t flags_for(std::uint8_t protocol) { return protocol == 0 ? 0 : IP6T_F_PROTO; }
  static bool has_type_of_service(const Entry& entry) { return entry.ipv6.tos != 0; }
};

// The same numbers in both families: linux/netfilter_ipv4/ip_tables.h, ip6_tables.h.
constexpr std::uint8_t kInvertIn = IPT_INV_VIA_IN;
constexpr std::uint8_t kInvertOut = IPT_INV_VIA_OUT;
constexpr std::uint8_t kInvertSource = IPT_INV_SRCIP;
constexpr std::uint8_t kInvertDestination = IPT_INV_DSTIP;
static_assert(IP6T_INV_VIA_IN == kInvertIn && IP6T_INV_VIA_OUT == kInvertOut &&
              IP6T_INV_SRCIP == kInvertSource && IP6T_INV_DSTIP == kInvertDestination);

// --- writing

template <typename AddressBytes>
AddressBytes to_kernel(const inet::Address& address) {
  AddressBytes result{};
  std::memcpy(&result, address.bytes().data(), sizeof result);
  return result;
}

template <typename AddressBytes>
void put_address(const std::optional<AddressMatch>& match, AddressBytes& address,
                 AddressBytes& mask, std::uint8_t& inversions, std::uint8_t inversion) {
  if (!match) return;
  address = to_kernel<AddressBytes>(match->network.first());
  mask = to_kernel<AddressBytes>(inet::mask_of(match->network));
  if (match->inverted) inversions |= inversion;
}

void put_interface(const std::optional<InterfaceMatch>& match, std::span<char> name,
                   std::span<unsigned char> mask, std::uint8_t& inversions,
                   std::uint8_t inversion) {
  if (!match) return;
  const std::string& wanted = match->name;
  std::ranges::copy(wanted, name.begin());
  // With the final NUL; of "eth+" only what all names begin with.
  const std::size_t compared = wanted.ends_with('+') ? wanted.size() - 1 : wanted.size() + 1;
  std::ranges::fill(mask.first(compared), 0xff);
  if (match->inverted) inversions |= inversion;
}

// xt_entry_match and xt_entry_target have one layout: size, name and revision, then the struct of
// the extension. `extension.info` is padded already.
template <typename Piece>
void append_piece(std::vector<std::byte>& entry, const Extension& extension) {
  Piece piece{};
  extension.name.copy(piece.u.user.name, extension.name.size());
  piece.u.user.revision = extension.revision;
  const std::size_t size = sizeof piece + extension.info.size();
  if constexpr (std::is_same_v<Piece, xt_entry_match>) {
    piece.u.match_size = static_cast<std::uint16_t>(size);
  } else {
    piece.u.target_size = static_cast<std::uint16_t>(size);
  }
  const std::size_t begin = entry.size();
  entry.resize(begin + size);
  std::memcpy(&entry[begin], &piece, sizeof piece);
  std::ranges::copy(extension.info,
                    entry.begin() + static_cast<std::ptrdiff_t>(begin + sizeof piece));
}

// libiptc makes verdicts out of the names of its own targets and of chains.
Extension verdict_by_name(const Target& target) {
  const auto name = [&]() -> std::string {
    if (std::holds_alternative<Accept>(target)) return IPTC_LABEL_ACCEPT;
    if (std::holds_alternative<Drop>(target)) return IPTC_LABEL_DROP;
    if (std::holds_alternative<Return>(target)) return IPTC_LABEL_RETURN;
    return std::get<Jump>(target).chain;
  };
  constexpr std::size_t kSize = sizeof(xt_standard_target) - sizeof(xt_entry_target);
  return {.name = name(), .info = std::vector<std::byte>(kSize)};
}

template <typename Ip>
LegacyRule encode(const Rule& rule) {
  typename Ip::Entry entry{};
  auto& header = Ip::header(entry);
  std::uint8_t inversions = 0;
  put_address(rule.source, header.src, header.smsk, inversions, kInvertSource);
  put_address(rule.destination, header.dst, header.dmsk, inversions, kInvertDestination);
  put_interface(rule.in, header.iniface, header.iniface_mask, inversions, kInvertIn);
  put_interface(rule.out, header.outiface, header.outiface_mask, inversions, kInvertOut);
  header.proto = rule.protocol;
  header.flags = Ip::flags_for(rule.protocol);
  header.invflags = inversions;

  LegacyRule result{.entry = std::vector<std::byte>(sizeof entry), .extensions = {}};
  for (const Extension& match : encode_matches(rule)) {
    append_piece<xt_entry_match>(result.entry, match);
    result.extensions.push_back(match.name);
  }
  entry.target_offset = static_cast<std::uint16_t>(result.entry.size());
  if (const auto target = encode_target(Ip::kFamily, rule.target)) {
    append_piece<xt_entry_target>(result.entry, *target);
    result.extensions.push_back(target->name);
  } else {
    append_piece<xt_entry_target>(result.entry, verdict_by_name(rule.target));
  }
  entry.next_offset = static_cast<std::uint16_t>(result.entry.size());
  std::memcpy(result.entry.data(), &entry, sizeof entry);
  return result;
}

// --- reading

// False if the model has no words for it.
template <typename Ip, typename AddressBytes>
bool read_address(const AddressBytes& address_bytes, const AddressBytes& mask_bytes, bool inverted,
                  std::optional<AddressMatch>& match) {
  const auto address = inet::Address::from_bytes(Ip::kFamily, &address_bytes);
  const auto length = inet::prefix_length_of(inet::Address::from_bytes(Ip::kFamily, &mask_bytes));
  if (!length) return false;
  const inet::Network network = {.address = address, .prefix_length = *length};
  // With host bits it is equal to no packet's.
  if (network.masked() != network) return false;
  if (*length > 0 || inverted) match = AddressMatch{.network = network, .inverted = inverted};
  return true;
}

bool read_interface(std::span<const char> name_bytes, std::span<const unsigned char> mask,
                    bool inverted, std::optional<InterfaceMatch>& match) {
  const auto compared = static_cast<std::size_t>(
      std::ranges::find(mask, static_cast<unsigned char>(0)) - mask.begin());
  // The mask is that of a beginning.
  for (std::size_t at = 0; at < mask.size(); ++at) {
    if (mask[at] != (at < compared ? 0xff : 0)) return false;
  }
  const auto length = static_cast<std::size_t>(std::ranges::find(name_bytes.first(compared), '\0') -
                                               name_bytes.begin());
  std::string name(name_bytes.data(), length);
  if (length == compared) {
    if (compared == 0 && !inverted) return true;  // any
    name += '+';
  } else if (length + 1 != compared) {
    return false;
  }
  match = InterfaceMatch{.name = name, .inverted = inverted};
  return true;
}

template <typename Ip>
bool read_header(const typename Ip::Entry& entry, Rule& rule) {
  const auto& header = Ip::header(entry);
  constexpr std::uint8_t kKnownInversions =
      kInvertIn | kInvertOut | kInvertSource | kInvertDestination;
  if ((header.invflags & ~kKnownInversions) != 0 || header.proto > 0xff) return false;
  rule.protocol = static_cast<std::uint8_t>(header.proto);
  // -f, -g, TOS; and a protocol that is not compared.
  if (header.flags != Ip::flags_for(rule.protocol) || Ip::has_type_of_service(entry)) return false;
  const auto inverted = [&](std::uint8_t inversion) { return (header.invflags & inversion) != 0; };
  return read_address<Ip>(header.src, header.smsk, inverted(kInvertSource), rule.source) &&
         read_address<Ip>(header.dst, header.dmsk, inverted(kInvertDestination),
                          rule.destination) &&
         read_interface(header.iniface, header.iniface_mask, inverted(kInvertIn), rule.in) &&
         read_interface(header.outiface, header.outiface_mask, inverted(kInvertOut), rule.out);
}

std::size_t size_of(const xt_entry_match& match) {
  return match.u.match_size;
}

std::size_t size_of(const xt_entry_target& target) {
  return target.u.target_size;
}

// An extension of a rule: what its header says, and its own struct behind that.
struct Piece {
  std::string name;
  std::uint8_t revision;
  std::span<const std::byte> info;
};

// What `bytes` begin with, be it a match or a target; nothing if it does not fit.
template <typename Header>
std::optional<Piece> find_piece(std::span<const std::byte> bytes) {
  if (bytes.size() < sizeof(Header)) return std::nullopt;
  Header header{};
  std::memcpy(&header, bytes.data(), sizeof header);
  const std::size_t size = size_of(header);
  if (size < sizeof header || size > bytes.size()) return std::nullopt;
  const auto& user = header.u.user;
  return Piece{.name = {user.name, ::strnlen(user.name, sizeof user.name)},
               .revision = user.revision,
               .info = bytes.first(size).subspan(sizeof header)};
}

bool read_matches(std::span<const std::byte> matches, Rule& rule) {
  bool understood = true;
  while (!matches.empty()) {
    const auto match = find_piece<xt_entry_match>(matches);
    if (!match) return false;
    understood = decode_match(match->name, match->revision, match->info, rule) && understood;
    matches = matches.subspan(sizeof(xt_entry_match) + match->info.size());
  }
  return understood;
}

template <typename Ip>
StoredRule decode(std::span<const std::byte> bytes, std::optional<Target> target) {
  if (bytes.size() < sizeof(typename Ip::Entry)) return {};
  const auto& entry = *reinterpret_cast<const typename Ip::Entry*>(bytes.data());
  if (entry.target_offset < sizeof entry || entry.target_offset > bytes.size()) return {};
  StoredRule result;
  Rule rule{.target = Accept{}};
  bool understood = read_header<Ip>(entry, rule);
  understood =
      read_matches(bytes.first(entry.target_offset).subspan(sizeof entry), rule) && understood;
  result.comment = rule.comment();

  if (!target) {
    const auto piece = find_piece<xt_entry_target>(bytes.subspan(entry.target_offset));
    if (piece) {
      target = decode_target(Ip::kFamily, piece->name, piece->revision, piece->info);
    }
  } else if (const auto* jump = std::get_if<Jump>(&*target)) {
    result.jump_target = jump->chain;
  }
  if (understood && target) {
    rule.target = *std::move(target);
    result.rule = std::move(rule);
  }
  return result;
}

}  // namespace

LegacyRule encode_legacy(inet::Family family, const Rule& rule) {
  return family == inet::Family::kIpv4 ? encode<Ip4>(rule) : encode<Ip6>(rule);
}

StoredRule decode_legacy(inet::Family family, std::span<const std::byte> entry,
                         std::optional<Target> verdict) {
  return family == inet::Family::kIpv4 ? decode<Ip4>(entry, std::move(verdict))
                                       : decode<Ip6>(entry, std::move(verdict));
}

}  // namespace cni::xtables
