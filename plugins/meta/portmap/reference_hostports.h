// Host ports that the reference suite left in its own tables of nf_tables, `ip cni_hostport` and
// `ip6 cni_hostport`. Its rules are known by their comment alone, the container ID.
//
// Up to release 1.8 mappings of one host address were in `hostip_hostports`; later ones are all in
// `hostports`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "inet/address.h"
#include "mapping.h"
#include "nftables/nftables_socket.h"

namespace cni::portmap {

// One rule of a container.
struct ReferenceRule {
  nftables::Rule rule;
  std::optional<Run> run;                     // of a rule that forwards a port
  std::vector<inet::Address> addresses = {};  // that it speaks of
};

// Of a container, or of all of them if `container_id` is empty. Nothing if there is no such table.
std::vector<ReferenceRule> reference_rules(nftables::Socket& socket, inet::Family family,
                                           const std::string& container_id);

// The containers that have ports.
struct ReferenceHolder {
  std::string container_id;
  std::vector<Run> runs;
  std::optional<inet::Address> address;  // of the container
};
std::vector<ReferenceHolder> reference_holders(nftables::Socket& socket, inet::Family family);

// Deletes the rules of a container; if `address` is given only those that speak of it, since the
// container may be in other networks. Returns them.
std::vector<nftables::Rule> delete_reference_rules(nftables::Socket& socket, inet::Family family,
                                                   const std::string& container_id,
                                                   const std::optional<inet::Address>& address);
// Adds them to their chains again, behind the others.
void put_back_reference_rules(nftables::Socket& socket, const std::vector<nftables::Rule>& rules);

}  // namespace cni::portmap
