// One table of the iptables dialect in memory, and the batch that makes the kernel's the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nftables/batch.h"
#include "nftables/objects.h"
#include "xtables/table.h"

namespace cni::xtables {

class DialectTable : public Table {
 public:
  // From all chains and rules that the kernel has of the table.
  DialectTable(inet::Family family, std::string name, const std::vector<nftables::Chain>& chains,
               std::vector<nftables::Rule> rules);

  inet::Family family() const override { return family_; }
  bool has_chain(const std::string& chain) const override;
  std::vector<std::string> chains() const override;
  const std::vector<StoredRule>& rules(const std::string& chain) const override;
  bool drops_by_policy(const std::string& chain) const override;
  void ensure_chain(const std::string& chain) override;
  void append(const std::string& chain, const Rule& rule) override;
  void insert(const std::string& chain, std::size_t position, const Rule& rule) override;
  void erase(const std::string& chain, std::size_t position) override;
  void flush(const std::string& chain) override;
  void delete_chain(const std::string& chain) override;
  bool changed() const override;

  // Whether it has no chain at all, not even a built-in one.
  bool empty() const;

  // For messages: `table "ip nat"`.
  std::string text() const;

  // What changed since the snapshot. Chains come before rules that jump to them, and go after;
  // other rules and chains are not mentioned.
  nftables::Batch batch() const;

  // The rules that batch() adds.
  std::vector<nftables::Rule> new_rules() const;
  // Whether batch() makes a base chain of type nat.
  bool makes_nat_chain() const;

 private:
  struct Chain {
    std::optional<nftables::Hook> hook = std::nullopt;  // of a built-in chain
    bool stored = false;                                // the kernel has it
    bool present = true;                                // and shall have it
    std::vector<nftables::Rule> unread = {};            // as the kernel gave them
    std::vector<StoredRule> rules = {};
    std::vector<std::uint64_t> handles = {};  // of `rules`; 0 for a new one
    std::vector<std::uint64_t> erased = {};
  };

  Chain* find_chain(const std::string& name) const;
  Chain& get_chain(const std::string& name);
  void read(Chain& chain) const;
  nftables::TableId id() const;

  void add_erasures(nftables::Batch& batch, const std::string& name, const Chain& chain) const;
  void add_rules(nftables::Batch& batch, const std::string& name, const Chain& chain) const;

  inet::Family family_;
  std::string name_;
  // Rules are read when somebody asks for them: a host may have thousands that nobody does.
  mutable std::map<std::string, Chain> chains_;
};

}  // namespace cni::xtables
