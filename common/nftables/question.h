// Questions to nf_tables, and messages that are sent together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "netlink/message.h"
#include "netlink/netlink_socket.h"
#include "netlink/reply.h"
#include "nftables/objects.h"

namespace cni::nftables {

// `message` is NFT_MSG_GET*, `flags` are NLM_F_* besides NLM_F_REQUEST.
netlink::Message question(std::uint8_t message, Family family, std::uint16_t flags = 0);

// The answers; none if what it is about is not there. Throws netlink::KernelError.
std::vector<netlink::Answer> ask(netlink::Socket& socket, netlink::Message& message,
                                 const std::string& attempt);

// Throws netlink::KernelError for a refusal other than that what was asked for is not there.
void require_answered(std::span<const netlink::Acknowledgement> ends, const std::string& attempt);

// Adds the message, under this number and with `flags` besides its own, to those in `buffer`.
void append(std::vector<std::byte>& buffer, const netlink::Message& message, std::uint32_t sequence,
            std::uint16_t flags = 0);

}  // namespace cni::nftables
