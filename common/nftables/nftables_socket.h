// Talks to nf_tables in one network namespace. Reading changes nothing, and creates no table.
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

  // Whether the kernel has nf_tables at all.
  bool is_supported();

  // A number that changes with every commit in the namespace, whoever made it.
  std::uint32_t generation();

  // Throws netlink::KernelError with the errno of the first message that was refused; nothing has
  // changed then. With `generation`, somebody else's commit since then is ERESTART.
  void commit(const Batch& batch, const std::string& attempt,
              std::optional<std::uint32_t> generation = std::nullopt);
  // The same; 0, or the refusal if it is one of these.
  int try_commit(const Batch& batch, const std::string& attempt,
                 std::initializer_list<int> refusals,
                 std::optional<std::uint32_t> generation = std::nullopt);

  std::optional<Table> find_table(const TableId& table);
  std::optional<Chain> find_chain(const TableId& table, const std::string& chain);
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
  // Nothing if there is no such set.
  std::vector<Element> list_elements(const Set& set);
  // Whether there is at least one; reads no more than the first part of the list. The thread is in
  // the namespace of this socket.
  bool has_elements(const Set& set);

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
