// Whose an element of one of our sets in nf_tables is.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "netfilter/owner.h"
#include "nftables/objects.h"

namespace cni::netfilter {

// User data of an element: whose it is, also as a comment for nft(8).
nftables::Bytes owner_mark(const Owner& owner);
// By container and interface alone.
bool is_owned_by(const nftables::Element& element, const Owner& owner);
// A key of 16 bytes that is the attachment's own, by container and interface alone; nft(8) prints
// one of type nftables::kTypeInterfaceName as text.
nftables::Bytes attachment_key(const Owner& owner);
// Of a mark by owner_mark: as people read it, "<network>/<container ID>/<interface>", perhaps cut.
// Empty if there is none.
std::string describe_owner(const nftables::Element& element);

// 15 digits that are the attachment's own, by container and interface alone.
std::string slot_of(const Owner& owner);
// Of the owners of elements that have a mark.
std::set<std::string> slots_of(const std::vector<nftables::Element>& elements);

}  // namespace cni::netfilter
