// One transaction: all of it comes into force at one moment, or nothing does.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "netlink/message.h"
#include "nftables/objects.h"

namespace cni::nftables {

class Batch {
 public:
  // What exists already stays as it is, the policy of a chain too. A base chain at another hook or
  // priority, or a set of another kind, is refused; kernels that do not compare sets
  // (nft_set_is_same() in net/netfilter/nf_tables_api.c) leave them as they are.
  void ensure_table(const Table& table);
  void ensure_chain(const Chain& chain);
  void ensure_set(const Set& set);

  void append_rule(const Rule& rule);
  void insert_rule(const Rule& rule);  // as the first of its chain
  // Before the rule with this handle; ENOENT if that is gone.
  void insert_rule_before(const Rule& rule, std::uint64_t handle);
  void delete_rule(const TableId& table, const std::string& chain, std::uint64_t handle);
  void flush_chain(const TableId& table, const std::string& chain);
  // Fails with EBUSY while a rule or an element refers to it.
  void delete_chain(const TableId& table, const std::string& chain);
  void delete_table(const TableId& table);  // with all that is in it
  void delete_set(const TableId& table, const std::string& set);

  // Split over as many messages as they need. One that is there with the same value is left as it
  // is, with the user data it has, or EEXIST if `exclusive`. EEXIST is also one with another value,
  // and a range in a key of several fields that overlaps another one.
  void add_elements(const Set& set, std::span<const Element> elements, bool exclusive = false);
  // One that is not there is ENOENT.
  void delete_elements(const Set& set, std::span<const Element> elements);

  bool empty() const { return messages_.empty(); }
  std::size_t size() const { return messages_.size(); }
  // Whether something is deleted.
  bool removes() const { return removes_; }

 private:
  friend class Socket;
  netlink::Message& start(std::uint8_t message, const TableId& table, std::uint16_t flags);
  void put_rule(const Rule& rule, std::uint16_t flags, std::uint64_t before);
  void put_elements(std::uint8_t message, const Set& set, std::span<const Element> elements,
                    std::uint16_t flags);

  std::vector<netlink::Message> messages_;
  bool removes_ = false;
  std::uint32_t last_set_ = 0;  // the kernel wants a number for every set of a batch
};

}  // namespace cni::nftables
