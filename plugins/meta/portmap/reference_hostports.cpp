#include "reference_hostports.h"

#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>

#include "base/error.h"

namespace cni::portmap {
namespace {

using inet::Address;
using inet::Family;
using netlink::Attributes;
using nftables::Expression;

constexpr std::array<const char*, 3> kChains = {"hostports", "hostip_hostports", "masquerading"};
constexpr int kAttempts = 10;

nftables::TableId reference_table(Family family) {
  return {.family = nftables::table_family(family), .name = "cni_hostport"};
}

std::span<const std::byte> data_of(const Attributes& attributes, int attribute) {
  return attributes.nested(attribute).find(NFTA_DATA_VALUE).value_or(std::span<const std::byte>());
}

// Numbers of attributes are in network order.
std::uint32_t number(const Attributes& attributes, int attribute) {
  return __builtin_bswap32(attributes.find_u32(attribute).value_or(0));
}

std::uint16_t port_in(std::span<const std::byte> bytes) {
  return static_cast<std::uint16_t>(std::to_integer<unsigned>(bytes[0]) << 8U |
                                    std::to_integer<unsigned>(bytes[1]));
}

// Reads on which packets a rule acts, and what it does, as far as a mapping says it.
class RuleReader {
 public:
  explicit RuleReader(Family family) : family_(family) {}

  ReferenceRule read(const nftables::Rule& rule) {
    ReferenceRule read{.rule = rule, .run = {}};
    for (const Expression& expression : rule.expressions) take(expression, read.addresses);
    if (protocol_ && host_port_ != 0 && container_port_ != 0) {
      read.run = Run{.protocol = *protocol_,
                     .host_ip = host_ip_,
                     .host_port = host_port_,
                     .container_port = container_port_};
    }
    return read;
  }

 private:
  enum class Loaded { kOther, kProtocol, kAddress, kPort };

  void take(const Expression& expression, std::vector<Address>& addresses) {
    const Attributes attributes = expression.parse();
    if (expression.name == "meta") {
      loaded_ = number(attributes, NFTA_META_KEY) == NFT_META_L4PROTO ? Loaded::kProtocol
                                                                      : Loaded::kOther;
    } else if (expression.name == "payload") {
      const bool network = number(attributes, NFTA_PAYLOAD_BASE) == NFT_PAYLOAD_NETWORK_HEADER;
      const std::uint32_t offset = number(attributes, NFTA_PAYLOAD_OFFSET);
      destination_ = network && offset == (family_ == Family::kIpv4 ? 16 : 24);
      loaded_ = network ? Loaded::kAddress : offset == 2 ? Loaded::kPort : Loaded::kOther;
    } else if (expression.name == "cmp") {
      take_comparison(data_of(attributes, NFTA_CMP_DATA), addresses);
    } else if (expression.name == "immediate") {
      const auto value = data_of(attributes, NFTA_IMMEDIATE_DATA);
      if (value.size() == address_size()) {
        addresses.push_back(Address::from_bytes(family_, value.data()));
      }
      if (value.size() == 2) container_port_ = port_in(value);
    }
  }

  void take_comparison(std::span<const std::byte> value, std::vector<Address>& addresses) {
    if (loaded_ == Loaded::kProtocol && value.size() == 1) {
      const auto protocol = static_cast<Protocol>(value[0]);
      if (!name(protocol).empty()) protocol_ = protocol;
    } else if (loaded_ == Loaded::kPort && value.size() == 2) {
      host_port_ = port_in(value);
    } else if (loaded_ == Loaded::kAddress && value.size() == address_size()) {
      const Address address = Address::from_bytes(family_, value.data());
      if (destination_) host_ip_ = address;
      addresses.push_back(address);
    }
  }

  std::size_t address_size() const { return family_ == Family::kIpv4 ? 4 : 16; }

  Family family_;
  Loaded loaded_ = Loaded::kOther;
  bool destination_ = false;
  std::optional<Protocol> protocol_;
  std::optional<Address> host_ip_;
  std::uint16_t host_port_ = 0;
  std::uint16_t container_port_ = 0;
};

}  // namespace

std::vector<ReferenceRule> reference_rules(nftables::Socket& socket, Family family,
                                           const std::string& container_id) {
  std::vector<ReferenceRule> rules;
  for (const nftables::Rule& rule : socket.list_rules(reference_table(family))) {
    const std::string comment = rule.comment();
    if (std::ranges::find(kChains, rule.chain) == kChains.end() || comment.empty()) continue;
    if (!container_id.empty() && comment != container_id) continue;
    rules.push_back(RuleReader(family).read(rule));
  }
  return rules;
}

std::vector<ReferenceHolder> reference_holders(nftables::Socket& socket, Family family) {
  std::map<std::string, ReferenceHolder> holders;
  for (const ReferenceRule& rule : reference_rules(socket, family, "")) {
    if (!rule.run) continue;
    ReferenceHolder& holder = holders[rule.rule.comment()];
    holder.container_id = rule.rule.comment();
    holder.runs.push_back(*rule.run);
    // The address it is translated to comes last.
    if (!rule.addresses.empty()) holder.address = rule.addresses.back();
  }
  std::vector<ReferenceHolder> list;
  for (auto& [id, holder] : holders) list.push_back(std::move(holder));
  return list;
}

std::vector<nftables::Rule> delete_reference_rules(nftables::Socket& socket, Family family,
                                                   const std::string& container_id,
                                                   const std::optional<Address>& address) {
  const std::string attempt =
      fmt::format("delete the rules of {} in the nf_tables table cni_hostport", container_id);
  for (int tries = 0; tries < kAttempts; ++tries) {
    nftables::Batch batch;
    std::vector<nftables::Rule> deleted;
    for (const ReferenceRule& one : reference_rules(socket, family, container_id)) {
      const bool speaks_of =
          !address || std::ranges::find(one.addresses, *address) != one.addresses.end();
      if (!speaks_of) continue;
      batch.delete_rule(one.rule.table, one.rule.chain, one.rule.handle);
      deleted.push_back(one.rule);
    }
    // Somebody else may be faster with one of them: look again.
    if (batch.empty() || socket.try_commit(batch, attempt, {ENOENT}) == 0) return deleted;
  }
  throw Busy(attempt + ": they change all the time");
}

void put_back_reference_rules(nftables::Socket& socket, const std::vector<nftables::Rule>& rules) {
  if (rules.empty()) return;
  nftables::Batch batch;
  for (const nftables::Rule& rule : rules) batch.append_rule(rule);
  socket.commit(batch, "put rules of the nf_tables table cni_hostport back");
}

}  // namespace cni::portmap
