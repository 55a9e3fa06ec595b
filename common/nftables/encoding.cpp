#include "nftables/encoding.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>

namespace cni::nftables {

void put_be32(netlink::Message& message, int attribute, std::uint32_t value) {
  message.put_u32(attribute, htonl(value));
}

std::optional<std::uint32_t> find_be32(const netlink::Attributes& attributes, int attribute) {
  const auto value = attributes.find_u32(attribute);
  if (!value) return std::nullopt;
  return ntohl(*value);
}

Bytes encode(const std::function<void(netlink::Message&)>& content) {
  netlink::Message message(0, 0);
  content(message);
  const auto* begin = reinterpret_cast<const std::byte*>(message.header());
  return {begin + NLMSG_HDRLEN, begin + message.header()->nlmsg_len};
}

void put_data(netlink::Message& message, int attribute, std::span<const std::byte> value) {
  message.nest(attribute, [&] { message.put_bytes(NFTA_DATA_VALUE, value); });
}

void put_verdict(netlink::Message& message, int attribute, const Verdict& verdict) {
  message.nest(attribute, [&] {
    message.nest(NFTA_DATA_VERDICT, [&] {
      put_be32(message, NFTA_VERDICT_CODE, static_cast<std::uint32_t>(verdict.kind));
      if (!verdict.chain.empty()) message.put_text(NFTA_VERDICT_CHAIN, verdict.chain);
    });
  });
}

Bytes read_data(const netlink::Attributes& holder, int attribute) {
  const auto value = holder.nested(attribute).find(NFTA_DATA_VALUE);
  return value ? Bytes(value->begin(), value->end()) : Bytes();
}

std::optional<Verdict> read_verdict(const netlink::Attributes& holder, int attribute) {
  const netlink::Attributes verdict = holder.nested(attribute).nested(NFTA_DATA_VERDICT);
  const auto code = find_be32(verdict, NFTA_VERDICT_CODE);
  if (!code) return std::nullopt;
  return Verdict{.kind = static_cast<Verdict::Kind>(*code),
                 .chain = verdict.text(NFTA_VERDICT_CHAIN)};
}

}  // namespace cni::nftables
