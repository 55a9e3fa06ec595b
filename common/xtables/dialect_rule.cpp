#include "xtables/dialect_rule.h"

#include <endian.h>
#include <linux/in.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "inet/network.h"
#include "netlink/message.h"
#include "nftables/expression.h"
#include "xtables/extension.h"

namespace cni::xtables {
namespace {

namespace expr = nftables::expr;
using netlink::Attributes;
using nftables::Bytes;
using nftables::Expression;

// Registers of 4 bytes; all that is loaded begins in the first one, as with iptables-nft.
constexpr unsigned kRegister = 0;

// Offsets into the headers of packets.
constexpr std::uint32_t kIpv4Protocol = 9;
constexpr std::uint32_t kSourcePort = 0;
constexpr std::uint32_t kDestinationPort = 2;
constexpr std::uint32_t kPortSize = 2;

std::uint32_t source_offset(inet::Family family) {
  return family == inet::Family::kIpv4 ? 12 : 8;
}

std::uint32_t destination_offset(inet::Family family) {
  return family == inet::Family::kIpv4 ? 16 : 24;
}

// The bits of a prefix in network order.
Bytes mask_bytes(const inet::Network& network) {
  const inet::Network all{
      .address = inet::Address::from_bits(network.family(), ~inet::Bits{0}),
      .prefix_length = network.prefix_length,
  };
  return nftables::bytes_of(all.first());
}

// --- writing

class Writer {
 public:
  explicit Writer(inet::Family family) : family_(family) {}

  void interface(expr::Meta key, const std::optional<InterfaceMatch>& match) {
    if (!match) return;
    const bool is_prefix = match->name.ends_with('+');
    // The final NUL is part of a whole name.
    Bytes name(match->name.size() + (is_prefix ? 0 : 1));
    std::memcpy(name.data(), match->name.data(), match->name.size());
    if (is_prefix) name.pop_back();
    add(expr::meta(key, kRegister));
    add(expr::compare(comparison(match->inverted), kRegister, name));
  }

  void protocol(std::uint8_t number) {
    if (number == 0) return;
    add(expr::meta(expr::Meta::kProtocol, kRegister));
    add(expr::compare(expr::Compare::kEqual, kRegister, {std::byte{number}}));
  }

  void address(std::uint32_t offset, const std::optional<AddressMatch>& match) {
    if (!match || match->network.prefix_length == 0) return;
    const inet::Network network = match->network.masked();
    Bytes value = nftables::bytes_of(network.address);
    const bool whole_bytes = network.prefix_length % 8 == 0;
    if (whole_bytes) value.resize(static_cast<std::size_t>(network.prefix_length) / 8);
    load(expr::Header::kNetwork, offset, value.size());
    if (!whole_bytes) mask(mask_bytes(network));
    add(expr::compare(comparison(match->inverted), kRegister, value));
  }

  void ports(const Rule& rule) {
    const std::optional<PortRange> source = unless_all(rule.source_ports);
    const std::optional<PortRange> destination = unless_all(rule.destination_ports);
    if (!source && !destination) return;
    if (rule.protocol == IPPROTO_SCTP) {
      extension_match(encode_ports(rule));
    } else if (source && destination && is_single(*source) && is_single(*destination)) {
      load(expr::Header::kTransport, kSourcePort, 2 * kPortSize);
      Bytes both = nftables::network_order(source->first);
      const Bytes second = nftables::network_order(destination->first);
      both.insert(both.end(), second.begin(), second.end());
      add(expr::compare(expr::Compare::kEqual, kRegister, both));
    } else {
      port(kSourcePort, source);
      port(kDestinationPort, destination);
    }
  }

  void match(const Match& match) {
    if (const auto* mark = std::get_if<MarkMatch>(&match)) {
      add(expr::meta(expr::Meta::kMark, kRegister));
      if (mark->mask != 0xffffffff) this->mask(nftables::host_order(mark->mask));
      add(expr::compare(expr::Compare::kEqual, kRegister, nftables::host_order(mark->value)));
    } else {
      extension_match(encode_match(match));
    }
  }

  void target(const Target& target) {
    add(expr::counter());
    if (const std::optional<Extension> extension = encode_target(family_, target)) {
      add(expr::xt_target(extension->name, extension->revision, extension->info));
      has_extension_ = true;
    } else {
      add(expr::verdict(verdict_of(target)));
    }
  }

  bool has_extension() const { return has_extension_; }
  std::vector<Expression> take() { return std::move(expressions_); }

 private:
  static expr::Compare comparison(bool inverted) {
    return inverted ? expr::Compare::kNotEqual : expr::Compare::kEqual;
  }

  static std::optional<PortRange> unless_all(const std::optional<PortRange>& ports) {
    return ports == PortRange{0, 0xffff} ? std::nullopt : ports;
  }

  static bool is_single(const PortRange& ports) { return ports.first == ports.last; }

  static nftables::Verdict verdict_of(const Target& target) {
    using Kind = nftables::Verdict::Kind;
    if (std::holds_alternative<Accept>(target)) return {.kind = Kind::kAccept};
    if (std::holds_alternative<Drop>(target)) return {.kind = Kind::kDrop};
    if (std::holds_alternative<Return>(target)) return {.kind = Kind::kReturn};
    return {.kind = Kind::kJump, .chain = std::get<Jump>(target).chain};
  }

  void add(Expression expression) { expressions_.push_back(std::move(expression)); }

  void load(expr::Header header, std::uint32_t offset, std::size_t length) {
    add(expr::payload(header, offset, static_cast<std::uint32_t>(length), kRegister));
  }

  void mask(const Bytes& mask) {
    add(expr::bitwise(kRegister, kRegister, mask, Bytes(mask.size())));
  }

  void port(std::uint32_t offset, const std::optional<PortRange>& ports) {
    if (!ports) return;
    load(expr::Header::kTransport, offset, kPortSize);
    const Bytes first = nftables::network_order(ports->first);
    if (is_single(*ports)) {
      add(expr::compare(expr::Compare::kEqual, kRegister, first));
    } else {
      add(expr::range(expr::Compare::kEqual, kRegister, first,
                      nftables::network_order(ports->last)));
    }
  }

  void extension_match(const Extension& extension) {
    add(expr::xt_match(extension.name, extension.revision, extension.info));
    has_extension_ = true;
  }

  inet::Family family_;
  std::vector<Expression> expressions_;
  bool has_extension_ = false;
};

// --- reading

std::optional<std::uint32_t> find_big_endian(const Attributes& attributes, int attribute) {
  const auto value = attributes.find_u32(attribute);
  if (!value) return std::nullopt;
  return be32toh(*value);
}

Bytes find_data(const Attributes& attributes, int attribute) {
  const auto value = attributes.nested(attribute).find(NFTA_DATA_VALUE);
  return value ? Bytes(value->begin(), value->end()) : Bytes();
}

// A register by its first 4 bytes, however it is numbered.
std::uint32_t first_word(std::uint32_t number) {
  constexpr std::uint32_t kWords = NFT_REG_SIZE / NFT_REG32_SIZE;
  if (number >= NFT_REG32_00) return number - NFT_REG32_00;
  return (number - NFT_REG_1) * kWords;
}

std::optional<std::uint32_t> find_register(const Attributes& attributes, int attribute) {
  const auto number = find_big_endian(attributes, attribute);
  if (!number) return std::nullopt;
  return first_word(*number);
}

std::uint16_t read_port(const Bytes& bytes, std::size_t offset) {
  return static_cast<std::uint16_t>(std::to_integer<unsigned>(bytes[offset]) << 8U |
                                    std::to_integer<unsigned>(bytes[offset + 1]));
}

bool all_zero(const Bytes& bytes) {
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

// The length of the prefix that `mask` covers; nothing if it has holes.
std::optional<int> prefix_length(const Bytes& mask) {
  int length = 0;
  bool ended = false;
  for (const std::byte byte : mask) {
    for (int bit = 7; bit >= 0; --bit) {
      const bool set = (byte & (std::byte{1} << bit)) != std::byte{0};
      if (set && ended) return std::nullopt;
      ended = ended || !set;
      length += set ? 1 : 0;
    }
  }
  return length;
}

// What a register holds.
struct Loaded {
  enum class From { kMeta, kPayload, kValue };
  From from;
  std::uint32_t key = 0;  // of kMeta: NFT_META_*; of kPayload: NFT_PAYLOAD_*
  std::uint32_t offset = 0;
  std::uint32_t length = 0;
  Bytes value = {};  // of kValue
  // (register & mask) ^ flip, if it went through that.
  Bytes mask = {};
  Bytes flip = {};
};

// Follows the expressions of one rule. What it has no words for makes the rule not understood; it
// goes on nevertheless, for the jump and the comment.
class RuleReader {
 public:
  explicit RuleReader(inet::Family family) : family_(family) {}

  void read(const Expression& expression) {
    const Attributes attributes = expression.parse();
    if (expression.name == "counter") return;
    const auto step = std::ranges::find(kSteps, expression.name, &Step::name);
    // A target is the end.
    const bool at_end = target_.has_value();
    const bool known = step != kSteps.end() && (this->*step->read)(attributes);
    understood_ = understood_ && known && !at_end;
  }

  StoredRule take(const nftables::Rule& source) {
    StoredRule stored;
    if (const std::string comment = source.comment(); !comment.empty()) {
      // iptables-nft prints it first as well.
      rule_.matches.insert(rule_.matches.begin(), Comment{comment});
    }
    stored.jump_target = source.jump_target();
    stored.comment = rule_.comment();
    if (understood_ && target_) {
      rule_.target = *target_;
      stored.rule = std::move(rule_);
    }
    return stored;
  }

 private:
  bool meta(const Attributes& attributes) {
    const auto key = find_big_endian(attributes, NFTA_META_KEY);
    if (!key) return false;
    if (const auto from = find_register(attributes, NFTA_META_SREG)) return set_mark(*key, *from);
    const auto to = find_register(attributes, NFTA_META_DREG);
    if (!to) return false;
    registers_[*to] = {.from = Loaded::From::kMeta, .key = *key};
    return true;
  }

  bool set_mark(std::uint32_t key, std::uint32_t from) {
    const Loaded* loaded = find(from);
    if (key != NFT_META_MARK || loaded == nullptr) return false;
    if (loaded->from == Loaded::From::kValue) {
      const auto value = Attributes::read_value<std::uint32_t>(loaded->value);
      if (!value) return false;
      target_ = SetMark{.value = *value, .mask = 0xffffffff};
      return true;
    }
    if (loaded->from != Loaded::From::kMeta || loaded->key != NFT_META_MARK) return false;
    const auto mask = Attributes::read_value<std::uint32_t>(loaded->mask);
    const auto flip = Attributes::read_value<std::uint32_t>(loaded->flip);
    if (!mask || !flip) return false;
    target_ = SetMark{.value = *flip, .mask = ~*mask};
    return true;
  }

  bool payload(const Attributes& attributes) {
    const auto to = find_register(attributes, NFTA_PAYLOAD_DREG);
    const auto base = find_big_endian(attributes, NFTA_PAYLOAD_BASE);
    const auto offset = find_big_endian(attributes, NFTA_PAYLOAD_OFFSET);
    const auto length = find_big_endian(attributes, NFTA_PAYLOAD_LEN);
    if (!to || !base || !offset || !length) return false;
    registers_[*to] = {
        .from = Loaded::From::kPayload, .key = *base, .offset = *offset, .length = *length};
    return true;
  }

  bool bitwise(const Attributes& attributes) {
    const auto from = find_register(attributes, NFTA_BITWISE_SREG);
    const auto to = find_register(attributes, NFTA_BITWISE_DREG);
    if (find_big_endian(attributes, NFTA_BITWISE_OP).value_or(NFT_BITWISE_BOOL) !=
        NFT_BITWISE_BOOL) {
      return false;
    }
    const Loaded* loaded = from ? find(*from) : nullptr;
    if (!to || loaded == nullptr || !loaded->mask.empty()) return false;
    Loaded result = *loaded;
    result.mask = find_data(attributes, NFTA_BITWISE_MASK);
    result.flip = find_data(attributes, NFTA_BITWISE_XOR);
    if (result.mask.empty() || result.flip.size() != result.mask.size()) return false;
    registers_[*to] = std::move(result);
    return true;
  }

  bool compare(const Attributes& attributes) {
    const auto from = find_register(attributes, NFTA_CMP_SREG);
    const auto operation = find_big_endian(attributes, NFTA_CMP_OP);
    const Bytes value = find_data(attributes, NFTA_CMP_DATA);
    const Loaded* loaded = from ? find(*from) : nullptr;
    if (loaded == nullptr || value.empty()) return false;
    if (operation != NFT_CMP_EQ && operation != NFT_CMP_NEQ) return false;
    const bool inverted = operation == NFT_CMP_NEQ;
    if (loaded->from == Loaded::From::kMeta) return compare_meta(*loaded, value, inverted);
    if (loaded->from != Loaded::From::kPayload || loaded->length != value.size()) return false;
    if (loaded->key == NFT_PAYLOAD_NETWORK_HEADER) return compare_network(*loaded, value, inverted);
    return loaded->key == NFT_PAYLOAD_TRANSPORT_HEADER && !inverted && loaded->mask.empty() &&
           compare_transport(*loaded, value);
  }

  bool compare_meta(const Loaded& loaded, const Bytes& value, bool inverted) {
    switch (loaded.key) {
      case NFT_META_IIFNAME:
        return loaded.mask.empty() && set_interface(rule_.in, value, inverted);
      case NFT_META_OIFNAME:
        return loaded.mask.empty() && set_interface(rule_.out, value, inverted);
      case NFT_META_L4PROTO:
        return loaded.mask.empty() && value.size() == 1 && !inverted && set_protocol(value[0]);
      case NFT_META_MARK:
        return !inverted && add_mark(loaded, value);
      default:
        return false;
    }
  }

  static bool set_interface(std::optional<InterfaceMatch>& match, const Bytes& value,
                            bool inverted) {
    if (match) return false;
    std::string name;
    for (const std::byte byte : value) {
      if (byte == std::byte{0}) {
        match = {.name = name, .inverted = inverted};
        return true;
      }
      name += static_cast<char>(byte);
    }
    match = {.name = name + "+", .inverted = inverted};
    return true;
  }

  bool set_protocol(std::byte number) {
    if (rule_.protocol != 0) return rule_.protocol == std::to_integer<std::uint8_t>(number);
    rule_.protocol = std::to_integer<std::uint8_t>(number);
    return true;
  }

  bool add_mark(const Loaded& loaded, const Bytes& bytes) {
    const auto value = Attributes::read_value<std::uint32_t>(bytes);
    if (!value || !all_zero(loaded.flip)) return false;
    std::uint32_t mask = 0xffffffff;
    if (!loaded.mask.empty()) {
      const auto narrower = Attributes::read_value<std::uint32_t>(loaded.mask);
      if (!narrower) return false;
      mask = *narrower;
    }
    rule_.matches.emplace_back(MarkMatch{.value = *value, .mask = mask});
    return true;
  }

  bool compare_network(const Loaded& loaded, const Bytes& value, bool inverted) {
    if (loaded.offset == source_offset(family_)) {
      return set_address(rule_.source, loaded, value, inverted);
    }
    if (loaded.offset == destination_offset(family_)) {
      return set_address(rule_.destination, loaded, value, inverted);
    }
    return family_ == inet::Family::kIpv4 && loaded.offset == kIpv4Protocol && value.size() == 1 &&
           loaded.mask.empty() && !inverted && set_protocol(value[0]);
  }

  bool set_address(std::optional<AddressMatch>& match, const Loaded& loaded, const Bytes& value,
                   bool inverted) const {
    const std::size_t size = family_ == inet::Family::kIpv4 ? 4 : 16;
    if (match || value.size() > size || !all_zero(loaded.flip)) return false;
    const auto length =
        loaded.mask.empty() ? static_cast<int>(value.size()) * 8 : prefix_length(loaded.mask);
    if (!length || (!loaded.mask.empty() && loaded.mask.size() != value.size())) return false;
    Bytes whole = value;
    whole.resize(size);
    const inet::Network network{.address = inet::Address::from_bytes(family_, whole.data()),
                                .prefix_length = *length};
    if (network.masked() != network) return false;
    match = {.network = network, .inverted = inverted};
    return true;
  }

  bool compare_transport(const Loaded& loaded, const Bytes& value) {
    if (loaded.offset == kSourcePort && value.size() == 2 * kPortSize) {
      return set_port(rule_.source_ports, read_port(value, 0), read_port(value, 0)) &&
             set_port(rule_.destination_ports, read_port(value, kPortSize),
                      read_port(value, kPortSize));
    }
    if (value.size() != kPortSize) return false;
    return set_ports(loaded.offset, read_port(value, 0), read_port(value, 0));
  }

  bool range(const Attributes& attributes) {
    const auto from = find_register(attributes, NFTA_RANGE_SREG);
    const Loaded* loaded = from ? find(*from) : nullptr;
    if (loaded == nullptr || loaded->from != Loaded::From::kPayload) return false;
    if (find_big_endian(attributes, NFTA_RANGE_OP) != NFT_RANGE_EQ) return false;
    const Bytes first = find_data(attributes, NFTA_RANGE_FROM_DATA);
    const Bytes last = find_data(attributes, NFTA_RANGE_TO_DATA);
    if (loaded->key != NFT_PAYLOAD_TRANSPORT_HEADER || loaded->length != kPortSize ||
        !loaded->mask.empty() || first.size() != kPortSize || last.size() != kPortSize) {
      return false;
    }
    return set_ports(loaded->offset, read_port(first, 0), read_port(last, 0));
  }

  bool set_ports(std::uint32_t offset, std::uint16_t first, std::uint16_t last) {
    if (offset == kSourcePort) return set_port(rule_.source_ports, first, last);
    return offset == kDestinationPort && set_port(rule_.destination_ports, first, last);
  }

  bool set_port(std::optional<PortRange>& ports, std::uint16_t first, std::uint16_t last) const {
    const bool has_ports = rule_.protocol == IPPROTO_TCP || rule_.protocol == IPPROTO_UDP ||
                           rule_.protocol == IPPROTO_SCTP;
    if (ports || !has_ports) return false;
    ports = {.first = first, .last = last};
    return true;
  }

  bool immediate(const Attributes& attributes) {
    const auto to = find_big_endian(attributes, NFTA_IMMEDIATE_DREG);
    if (!to) return false;
    if (*to != NFT_REG_VERDICT) {
      registers_[first_word(*to)] = {.from = Loaded::From::kValue,
                                     .value = find_data(attributes, NFTA_IMMEDIATE_DATA)};
      return true;
    }
    const Attributes verdict = attributes.nested(NFTA_IMMEDIATE_DATA).nested(NFTA_DATA_VERDICT);
    const auto code = find_big_endian(verdict, NFTA_VERDICT_CODE);
    if (!code) return false;
    switch (static_cast<nftables::Verdict::Kind>(*code)) {
      case nftables::Verdict::Kind::kAccept:
        target_ = Accept{};
        return true;
      case nftables::Verdict::Kind::kDrop:
        target_ = Drop{};
        return true;
      case nftables::Verdict::Kind::kReturn:
        target_ = Return{};
        return true;
      case nftables::Verdict::Kind::kJump:
        target_ = Jump{verdict.text(NFTA_VERDICT_CHAIN)};
        return true;
      case nftables::Verdict::Kind::kGoto:
        return false;
    }
    return false;
  }

  bool match(const Attributes& attributes) {
    const auto revision = find_big_endian(attributes, NFTA_MATCH_REV);
    const auto info = attributes.find(NFTA_MATCH_INFO);
    return revision && info &&
           decode_match(attributes.text(NFTA_MATCH_NAME), *revision, *info, rule_);
  }

  bool target(const Attributes& attributes) {
    const auto revision = find_big_endian(attributes, NFTA_TARGET_REV);
    const auto info = attributes.find(NFTA_TARGET_INFO);
    if (!revision || !info) return false;
    target_ = decode_target(family_, attributes.text(NFTA_TARGET_NAME), *revision, *info);
    return target_.has_value();
  }

  // The address that an earlier expression put into the register.
  std::optional<inet::Address> address_in(std::optional<std::uint32_t> number) const {
    const Loaded* loaded = number ? find(*number) : nullptr;
    const std::size_t size = family_ == inet::Family::kIpv4 ? 4 : 16;
    if (loaded == nullptr || loaded->from != Loaded::From::kValue || loaded->value.size() != size) {
      return std::nullopt;
    }
    return inet::Address::from_bytes(family_, loaded->value.data());
  }

  std::optional<std::uint16_t> port_in(std::optional<std::uint32_t> number) const {
    const Loaded* loaded = number ? find(*number) : nullptr;
    if (loaded == nullptr || loaded->from != Loaded::From::kValue ||
        loaded->value.size() != kPortSize) {
      return std::nullopt;
    }
    return read_port(loaded->value, 0);
  }

  bool nat(const Attributes& attributes) {
    const auto type = find_big_endian(attributes, NFTA_NAT_TYPE);
    // The kernel adds what follows from the registers.
    const std::uint32_t flags = find_big_endian(attributes, NFTA_NAT_FLAGS).value_or(0) &
                                ~std::uint32_t{NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED};
    const auto first_register = find_register(attributes, NFTA_NAT_REG_ADDR_MIN);
    const auto last_register = find_register(attributes, NFTA_NAT_REG_ADDR_MAX);
    const auto first = address_in(first_register);
    const auto last = last_register ? address_in(last_register) : first;
    if (!first || !last) return false;
    const auto port_register = find_register(attributes, NFTA_NAT_REG_PROTO_MIN);
    const auto last_port_register = find_register(attributes, NFTA_NAT_REG_PROTO_MAX);
    const auto port = port_in(port_register);
    if (port_register && !port) return false;
    if (last_port_register && port_in(last_port_register) != port) return false;
    if (type == NFT_NAT_DNAT) {
      if (flags != 0 || *first != *last) return false;
      target_ = DestinationNat{.address = *first, .port = port.value_or(0)};
      return true;
    }
    constexpr std::uint32_t kKnown = NF_NAT_RANGE_PROTO_RANDOM_FULLY | NF_NAT_RANGE_PERSISTENT;
    if (type != NFT_NAT_SNAT || port || (flags & ~kKnown) != 0) return false;
    target_ = SourceNat{.first = *first,
                        .last = *last,
                        .fully_random = (flags & NF_NAT_RANGE_PROTO_RANDOM_FULLY) != 0,
                        .persistent = (flags & NF_NAT_RANGE_PERSISTENT) != 0};
    return true;
  }

  bool masquerade(const Attributes& attributes) {
    if (attributes.has(NFTA_MASQ_REG_PROTO_MIN)) return false;
    const std::uint32_t flags = find_big_endian(attributes, NFTA_MASQ_FLAGS).value_or(0);
    if (flags != 0 && flags != NF_NAT_RANGE_PROTO_RANDOM_FULLY) return false;
    target_ = Masquerade{.fully_random = flags != 0};
    return true;
  }

  struct Step {
    std::string_view name;
    bool (RuleReader::*read)(const Attributes& attributes);
  };
  static const std::array<Step, 10> kSteps;

  const Loaded* find(std::uint32_t number) const {
    const auto found = registers_.find(number);
    return found == registers_.end() ? nullptr : &found->second;
  }

  inet::Family family_;
  std::map<std::uint32_t, Loaded> registers_;
  Rule rule_{.target = Accept{}};
  std::optional<Target> target_;
  bool understood_ = true;
};

constexpr std::array<RuleReader::Step, 10> RuleReader::kSteps = {{
    {"meta", &RuleReader::meta},
    {"payload", &RuleReader::payload},
    {"bitwise", &RuleReader::bitwise},
    {"cmp", &RuleReader::compare},
    {"range", &RuleReader::range},
    {"immediate", &RuleReader::immediate},
    {"match", &RuleReader::match},
    {"target", &RuleReader::target},
    {"nat", &RuleReader::nat},
    {"masq", &RuleReader::masquerade},
}};

}  // namespace

nftables::Rule encode_dialect(inet::Family family, const std::string& table,
                              const std::string& chain, const Rule& rule) {
  Writer writer(family);
  writer.interface(expr::Meta::kInInterfaceName, rule.in);
  writer.interface(expr::Meta::kOutInterfaceName, rule.out);
  writer.protocol(rule.protocol);
  writer.address(source_offset(family), rule.source);
  writer.address(destination_offset(family), rule.destination);
  writer.ports(rule);
  for (const Match& match : rule.matches) writer.match(match);
  writer.target(rule.target);

  nftables::Rule result;
  result.table = {.family = nftables::table_family(family), .name = table};
  result.chain = chain;
  if (writer.has_extension()) result.compat_protocol = rule.protocol;
  result.expressions = writer.take();
  return result;
}

StoredRule decode_dialect(inet::Family family, const nftables::Rule& rule) {
  RuleReader reader(family);
  for (const Expression& expression : rule.expressions) reader.read(expression);
  return reader.take(rule);
}

}  // namespace cni::xtables
