// The table of host ports of one family in nf_tables: what is written down about attachments, and
// the elements of those whose rules are here too.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "claims.h"
#include "element_changes.h"
#include "holding.h"
#include "native_elements.h"
#include "native_sets.h"
#include "netfilter/native_table.h"
#include "nftables/nftables_socket.h"

namespace cni::portmap {

class NativeHostports {
 public:
  // Nothing is read or made yet. `socket` must outlive this.
  NativeHostports(nftables::Socket& socket, inet::Family family);

  std::vector<Holding> list();
  // Of these attachments, of those that have a port of `runs` or wait for one, and of all that have
  // to do with these in turn. Reads as much as there is of that, not of the table.
  std::vector<Holding> list_concerned(const std::vector<netfilter::Owner>& owners,
                                      std::vector<Run> runs);

  // False if nobody has written down yet, in a table that may be new, that he needs route_localnet.
  bool has_localnet() { return socket_.has_set(localnet_set().table, localnet_set().name); }
  // How many need it there, as `localnet` says it; those of `but` do not count.
  std::size_t count_localnet(const Localnet& localnet, const std::vector<netfilter::Owner>& but);

  // Adds to `batch` all that makes "before" into "after". Under lock_native_tables(), as `list` was
  // read. Elements are taken out for those they belong to; one that belongs to nobody who is
  // written down makes way.
  void apply(nftables::Batch& batch, const std::vector<Change>& changes);
  // After the commit.
  void delete_if_unused() { table_.delete_if_unused(); }

  // What is missing or different of what `holding` says, one sentence each.
  std::vector<std::string> differences(const Holding& holding);

 private:
  void ensure_frame(nftables::Batch& batch, const std::vector<Change>& changes);
  void delete_unused_chains(nftables::Batch& batch, const std::vector<Change>& changes,
                            const ElementChanges& elements);
  std::size_t count_missing(const SetElements& wanted, const netfilter::Owner& owner);

  nftables::Socket& socket_;
  inet::Family family_;
  netfilter::NativeTable table_;
};

}  // namespace cni::portmap
