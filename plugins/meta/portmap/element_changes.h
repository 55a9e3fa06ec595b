// What the sets of the native table lose and get when holdings change.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "claims.h"
#include "netfilter/native_table.h"
#include "nftables/batch.h"
#include "nftables/nftables_socket.h"

namespace cni::portmap {

// The holding has elements there.
bool is_native(const std::optional<Holding>& holding);

// Whatever their marks say.
bool same_effect(const nftables::Element& one, const nftables::Element& other);

// Elements of a set whose keys have several fields, each in network order: in every field their
// intervals meet. Fields are compared together, byte by byte from the left, only if they are one,
// so this looks at each.
bool meet(const nftables::Set& set, const nftables::Element& one, const nftables::Element& other);

std::vector<nftables::Bytes> keys_of(const std::vector<nftables::Element>& elements);

class ElementChanges {
 public:
  // Both must outlive this.
  ElementChanges(nftables::Socket& socket, netfilter::NativeTable& table)
      : socket_(socket), table_(table) {}

  // Reads what the kernel has in the places of both sides. Elements are taken out for those they
  // belong to; one that belongs to nobody who is written down makes way.
  void plan(const Change& change);

  // First all that goes, then all that comes: an element may move from one attachment to another.
  void add_to(nftables::Batch& batch);

  // Jumps to shared chains that go and that come, by chain. After add_to().
  const std::map<std::string, std::uint32_t>& dropped() const { return dropped_; }
  const std::map<std::string, std::uint32_t>& taken_up() const { return taken_up_; }

 private:
  struct OfSet {
    nftables::Set set;
    std::map<nftables::Bytes, nftables::Element> losses;
    std::vector<nftables::Element> gains;
  };
  std::vector<nftables::Element> find_in_the_way(const nftables::Set& set,
                                                 const std::vector<nftables::Element>& wanted);

  nftables::Socket& socket_;
  netfilter::NativeTable& table_;
  std::vector<OfSet> sets_;
  std::map<std::string, std::uint32_t> dropped_;
  std::map<std::string, std::uint32_t> taken_up_;
};

}  // namespace cni::portmap
