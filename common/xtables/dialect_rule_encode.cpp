#include <linux/in.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "inet/mask.h"
#include "inet/network.h"
#include "nftables/expression.h"
#include "xtables/dialect_packet.h"
#include "xtables/dialect_rule.h"
#include "xtables/extension.h"

namespace cni::xtables {
namespace {

namespace expr = nftables::expr;
using nftables::Bytes;
using nftables::Expression;

// Registers of 4 bytes; all that is loaded begins in the first one, as with iptables-nft.
constexpr unsigned kRegister = 0;

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
    if (!whole_bytes) mask(nftables::bytes_of(inet::mask_of(network)));
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
    return ports == kAllPorts ? std::nullopt : ports;
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

}  // namespace cni::xtables
