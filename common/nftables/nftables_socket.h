// Talks to nf_tables in one network namespace. Reading changes nothing, and creates no table.
//
// What matters to those who call (files are the kernel's, below net/netfilter):
// - A commit takes microseconds: old objects are freed later. A refused one waits for an RCU grace
//   period, some milliseconds on a busy machine (__nf_tables_abort() in nf_tables_api.c). So look
//   first, and leave refusals to races. A refused generation costs nothing, it is compared first.
// - Modules that a batch needs are loaded by the kernel, which then starts the batch again itself
//   (NFNL_BATCH_REPLAY in nfnetlink.c); EAGAIN is not seen here.
// - The kernel goes on after an error and reports each one. It acknowledges messages after the
//   commit, in their order; an acknowledged end of a batch is known to newer kernels only. Hence
//   the last message is the one that asks for it.
// - A batch is one datagram, and has to fit into the send buffer of the socket. With CAP_NET_ADMIN
//   in the first user namespace it may have megabytes, else twice net.core.wmem_max, 400 KiB where
//   that is as the kernel sets it; more is EMSGSIZE. An element takes from 20 bytes on.
// - What lists show is what is committed. Somebody else's batch that is refused while a set is read
//   may hide elements (see list_elements() in socket_elements.cpp): whoever acts on absence keeps
//   others from writing meanwhile.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "netlink/netlink_socket.h"
#include "nftables/batch.h"
#include "nftables/objects.h"

namespace cni::nftables {

class Socket {
 public:
  // In the namespace of this thread.
  static Socket here();

  // The same; nothing if the kernel has no nf_tables. One that has it may still lack a family.
  static std::optional<Socket> find();

  // A number that changes with every commit in the namespace, whoever made it.
  std::uint32_t generation();

  // Throws netlink::KernelError with the errno of the first message that was refused; nothing has
  // changed then. With `generation`, somebody else's commit since then is ERESTART. Throws Busy if
  // the answer was lost, and what became of the batch is not known.
  void commit(const Batch& batch, const std::string& attempt,
              std::optional<std::uint32_t> generation = std::nullopt);
  // The same; 0, or the refusal if it is one of these.
  int try_commit(const Batch& batch, const std::string& attempt,
                 std::initializer_list<int> refusals,
                 std::optional<std::uint32_t> generation = std::nullopt);

  std::optional<Table> find_table(const TableId& table);
  std::vector<Table> list_tables(Family family);
  std::optional<Chain> find_chain(const TableId& table, const std::string& chain);
  // Of all tables: the kernel chooses by family only.
  std::vector<Chain> list_chains(Family family);
  // Nothing if there is no such table or chain.
  std::vector<Rule> list_rules(const TableId& table);
  std::vector<Rule> list_rules(const TableId& table, const std::string& chain);
  bool has_set(const TableId& table, const std::string& set);
  std::vector<Set> list_sets(const TableId& table);

  // The element that holds `key`, of an interval set the range around it.
  std::optional<Element> find_element(const Set& set, const Bytes& key);
  // Those of `keys` that are there, asked for together.
  std::vector<Element> find_elements(const Set& set, std::span<const Bytes> keys);
  // Nothing if there is no such set. Throws Busy if the list keeps changing while it is read.
  std::vector<Element> list_elements(const Set& set);
  // The first part of the list: one at least, if there are any. The thread is in the namespace of
  // this socket.
  std::vector<Element> some_elements(const Set& set);

  // Whether a match or target of xtables can be used through nft_compat. May load its module.
  bool supports_xt_match(Family family, const std::string& name, std::uint32_t revision);
  bool supports_xt_target(Family family, const std::string& name, std::uint32_t revision);

 private:
  explicit Socket(netlink::Socket socket) : socket_(std::move(socket)) {}
  netlink::Outcome transact(const Batch& batch, const std::string& attempt,
                            std::optional<std::uint32_t> generation);

  netlink::Socket socket_;
};

}  // namespace cni::nftables
