// The books: which attachment has which ports, of both families, under the lock of writers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "holding.h"
#include "native_hostports.h"
#include "nftables/nftables_socket.h"
#include "state/file_lock.h"
#include "xtables/table.h"

namespace cni::portmap {

// What is written down of one family that a call has to do with, as it was and as it is to be.
struct FamilyPlan {
  inet::Family family;
  std::vector<Holding> before;
  std::vector<Holding> after;
};

// A kernel without nf_tables has none: nothing is listed, and nothing written down.
class Books {
 public:
  enum class Use { kLook, kChange };

  // A look takes the lock only if there is a table, or was one that somebody flushed. Throws Busy.
  explicit Books(Use use);

  std::optional<nftables::Socket>& socket() { return socket_; }

  // Only if there is a socket.
  NativeHostports of(inet::Family family) { return {*socket_, family}; }

  // As in NativeHostports; those who share a chain have to do with each other too.
  std::vector<Holding> list(inet::Family family);
  std::vector<Holding> list_concerned(inet::Family family,
                                      const std::vector<netfilter::Owner>& owners,
                                      std::vector<Run> runs);

  // Those of xtables rules in which there were host ports when they were first asked for.
  const std::vector<std::unique_ptr<xtables::Store>>& stores();

  // One transaction for both families. What `owner` has is repaired, too, if it is given. A kernel
  // may have nf_tables, but not for IP: then there is no socket any more, unless a rule was meant
  // for it, which is a SystemError.
  void commit(const std::vector<FamilyPlan>& plans, const std::string& attempt,
              const netfilter::Owner* owner = nullptr);

 private:
  std::vector<Run> read_chain(netfilter::StoreChoice store, inet::Family family,
                              const std::string& chain);
  bool put(const std::vector<FamilyPlan>& plans, const std::string& attempt,
           const netfilter::Owner* owner);

  std::optional<nftables::Socket> socket_;
  std::optional<state::FileLock> lock_;
  std::optional<std::vector<std::unique_ptr<xtables::Store>>> stores_;
};

}  // namespace cni::portmap
