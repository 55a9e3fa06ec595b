// How nf_tables wants its attributes: numbers are big endian.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "netlink/message.h"
#include "nftables/expression.h"
#include "nftables/objects.h"

namespace cni::nftables {

void put_be32(netlink::Message& message, int attribute, std::uint32_t value);
std::optional<std::uint32_t> find_be32(const netlink::Attributes& attributes, int attribute);

// The attributes that `content` puts, without a message around them.
Bytes encode(const std::function<void(netlink::Message&)>& content);

// NFTA_DATA_VALUE or NFTA_DATA_VERDICT inside `attribute`.
void put_data(netlink::Message& message, int attribute, std::span<const std::byte> value);
void put_verdict(netlink::Message& message, int attribute, const Verdict& verdict);
Bytes read_data(const netlink::Attributes& holder, int attribute);
std::optional<Verdict> read_verdict(const netlink::Attributes& holder, int attribute);

}  // namespace cni::nftables
