// Objects of nf_tables out of the kernel's messages. What a message lacks is empty or 0.
#pragma once

#include <vector>

#include "netlink/message.h"
#include "netlink/reply.h"
#include "nftables/objects.h"

namespace cni::nftables {

// What follows the fixed header (struct nfgenmsg).
netlink::Attributes attributes_of(const netlink::Answer& answer);
Family family_of(const netlink::Answer& answer);

Table parse_table(const netlink::Answer& answer);
Chain parse_chain(const netlink::Answer& answer);
Rule parse_rule(const netlink::Answer& answer);
Set parse_set(const netlink::Answer& answer);
// One message holds many.
void parse_elements(const netlink::Answer& answer, std::vector<Element>& elements);

}  // namespace cni::nftables
