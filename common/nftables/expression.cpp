#include "nftables/expression.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <functional>
#include <stdexcept>

#include "nftables/encoding.h"

namespace cni::nftables {
namespace {

using netlink::Message;

template <typename Number>
Bytes memory_of(const Number& number) {
  const auto bytes = std::as_bytes(std::span(&number, 1));
  return {bytes.begin(), bytes.end()};
}

Expression make(const char* name, const std::function<void(Message&)>& attributes) {
  return {.name = name, .attributes = encode(attributes)};
}

void put_register(Message& message, int attribute, unsigned number) {
  put_be32(message, attribute, NFT_REG32_00 + number);
}

std::uint32_t nat_family(inet::Family family) {
  return family == inet::Family::kIpv4 ? AF_INET : AF_INET6;
}

}  // namespace

Bytes network_order(std::uint16_t value) {
  return memory_of(htons(value));
}

Bytes host_order(std::uint32_t value) {
  return memory_of(value);
}

Bytes bytes_of(const inet::Address& address) {
  const auto bytes = address.bytes();
  const auto all = std::as_bytes(std::span(bytes));
  return {all.begin(), all.begin() + address.width() / 8};
}

std::uint32_t address_length(inet::Family family) {
  return family == inet::Family::kIpv4 ? 4 : 16;
}

Bytes padded_name(const std::string& name) {
  if (name.size() >= IFNAMSIZ) throw std::length_error("the name of a link is too long");
  const auto bytes = std::as_bytes(std::span(name));
  Bytes padded(bytes.begin(), bytes.end());
  padded.resize(IFNAMSIZ);
  return padded;
}

Bytes concatenation(std::initializer_list<Bytes> fields) {
  Bytes all;
  for (const Bytes& field : fields) {
    all.insert(all.end(), field.begin(), field.end());
    all.resize((all.size() + 3) / 4 * 4);
  }
  return all;
}

namespace expr {

Expression meta(Meta key, unsigned to) {
  return make("meta", [&](Message& message) {
    put_be32(message, NFTA_META_KEY, static_cast<std::uint32_t>(key));
    put_register(message, NFTA_META_DREG, to);
  });
}

Expression set_mark(unsigned from) {
  return make("meta", [&](Message& message) {
    put_be32(message, NFTA_META_KEY, NFT_META_MARK);
    put_register(message, NFTA_META_SREG, from);
  });
}

Expression payload(Header base, std::uint32_t offset, std::uint32_t length, unsigned to) {
  return make("payload", [&](Message& message) {
    put_register(message, NFTA_PAYLOAD_DREG, to);
    put_be32(message, NFTA_PAYLOAD_BASE, static_cast<std::uint32_t>(base));
    put_be32(message, NFTA_PAYLOAD_OFFSET, offset);
    put_be32(message, NFTA_PAYLOAD_LEN, length);
  });
}

Expression source_address(inet::Family family, unsigned to) {
  return payload(Header::kNetwork, family == inet::Family::kIpv4 ? 12 : 8, address_length(family),
                 to);
}

Expression destination_address(inet::Family family, unsigned to) {
  return payload(Header::kNetwork, family == inet::Family::kIpv4 ? 16 : 24, address_length(family),
                 to);
}

Expression conntrack(Conntrack key, unsigned to) {
  return make("ct", [&](Message& message) {
    put_register(message, NFTA_CT_DREG, to);
    put_be32(message, NFTA_CT_KEY, static_cast<std::uint32_t>(key));
  });
}

Expression fib_destination_type(unsigned to) {
  return make("fib", [&](Message& message) {
    put_register(message, NFTA_FIB_DREG, to);
    put_be32(message, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    put_be32(message, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
  });
}

Expression compare(Compare operation, unsigned from, const Bytes& value) {
  return make("cmp", [&](Message& message) {
    put_register(message, NFTA_CMP_SREG, from);
    put_be32(message, NFTA_CMP_OP, operation == Compare::kEqual ? NFT_CMP_EQ : NFT_CMP_NEQ);
    put_data(message, NFTA_CMP_DATA, value);
  });
}

Expression range(Compare operation, unsigned from, const Bytes& first, const Bytes& last) {
  return make("range", [&](Message& message) {
    put_register(message, NFTA_RANGE_SREG, from);
    put_be32(message, NFTA_RANGE_OP, operation == Compare::kEqual ? NFT_RANGE_EQ : NFT_RANGE_NEQ);
    put_data(message, NFTA_RANGE_FROM_DATA, first);
    put_data(message, NFTA_RANGE_TO_DATA, last);
  });
}

Expression bitwise(unsigned from, unsigned to, const Bytes& mask, const Bytes& flip) {
  return make("bitwise", [&](Message& message) {
    put_register(message, NFTA_BITWISE_SREG, from);
    put_register(message, NFTA_BITWISE_DREG, to);
    put_be32(message, NFTA_BITWISE_LEN, static_cast<std::uint32_t>(mask.size()));
    put_data(message, NFTA_BITWISE_MASK, mask);
    put_data(message, NFTA_BITWISE_XOR, flip);
  });
}

Expression immediate(unsigned to, const Bytes& value) {
  return make("immediate", [&](Message& message) {
    put_register(message, NFTA_IMMEDIATE_DREG, to);
    put_data(message, NFTA_IMMEDIATE_DATA, value);
  });
}

Expression verdict(const Verdict& verdict) {
  return make("immediate", [&](Message& message) {
    put_be32(message, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    put_verdict(message, NFTA_IMMEDIATE_DATA, verdict);
  });
}

Expression lookup(const std::string& set, unsigned from, bool invert) {
  return make("lookup", [&](Message& message) {
    message.put_text(NFTA_LOOKUP_SET, set);
    put_register(message, NFTA_LOOKUP_SREG, from);
    if (invert) put_be32(message, NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
  });
}

Expression lookup_value(const std::string& map, unsigned from, unsigned to) {
  return make("lookup", [&](Message& message) {
    message.put_text(NFTA_LOOKUP_SET, map);
    put_register(message, NFTA_LOOKUP_SREG, from);
    put_register(message, NFTA_LOOKUP_DREG, to);
  });
}

Expression lookup_verdict(const std::string& map, unsigned from) {
  return make("lookup", [&](Message& message) {
    message.put_text(NFTA_LOOKUP_SET, map);
    put_register(message, NFTA_LOOKUP_SREG, from);
    put_be32(message, NFTA_LOOKUP_DREG, NFT_REG_VERDICT);
  });
}

Expression counter() {
  return make("counter", [](Message&) {});
}

Expression dnat(inet::Family family, unsigned address, std::optional<unsigned> port) {
  return make("nat", [&](Message& message) {
    put_be32(message, NFTA_NAT_TYPE, NFT_NAT_DNAT);
    put_be32(message, NFTA_NAT_FAMILY, nat_family(family));
    put_register(message, NFTA_NAT_REG_ADDR_MIN, address);
    if (port) put_register(message, NFTA_NAT_REG_PROTO_MIN, *port);
  });
}

Expression snat(inet::Family family, const SourceNat& to) {
  return make("nat", [&](Message& message) {
    put_be32(message, NFTA_NAT_TYPE, NFT_NAT_SNAT);
    put_be32(message, NFTA_NAT_FAMILY, nat_family(family));
    put_register(message, NFTA_NAT_REG_ADDR_MIN, to.first_address);
    if (to.last_address) put_register(message, NFTA_NAT_REG_ADDR_MAX, *to.last_address);
    const std::uint32_t flags = (to.fully_random ? NF_NAT_RANGE_PROTO_RANDOM_FULLY : 0U) |
                                (to.persistent ? NF_NAT_RANGE_PERSISTENT : 0U);
    if (flags != 0) put_be32(message, NFTA_NAT_FLAGS, flags);
  });
}

Expression masquerade(bool fully_random) {
  return make("masq", [&](Message& message) {
    if (fully_random) put_be32(message, NFTA_MASQ_FLAGS, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
  });
}

Expression xt_match(const std::string& name, std::uint32_t revision, const Bytes& info) {
  return make("match", [&](Message& message) {
    message.put_text(NFTA_MATCH_NAME, name);
    put_be32(message, NFTA_MATCH_REV, revision);
    message.put_bytes(NFTA_MATCH_INFO, info);
  });
}

Expression xt_target(const std::string& name, std::uint32_t revision, const Bytes& info) {
  return make("target", [&](Message& message) {
    message.put_text(NFTA_TARGET_NAME, name);
    put_be32(message, NFTA_TARGET_REV, revision);
    message.put_bytes(NFTA_TARGET_INFO, info);
  });
}

}  // namespace expr
}  // namespace cni::nftables
