// One table of the iptables dialect in memory, and the batch that makes the kernel's the same.
//
// A node of Kubernetes has tens of thousands of chains in it: each is asked for by its name, and
// its rules are read, when somebody wants to know of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nftables/batch.h"
#include "nftables/nftables_socket.h"
#include "nftables/objects.h"
#include "xtables/table.h"

namespace cni::xtables {

class DialectTable : public Table {
 public:
  // Reads through the socket as long as it is in use.
  DialectTable(inet::Family family, std::string name, std::shared_ptr<nftables::Socket> socket)
      : family_(family), name_(std::move(name)), socket_(std::move(socket)) {}

  inet::Family family() const override { return family_; }
  bool has_chain(const std::string& chain) const override;
  std::vector<std::string> chains() const override;
  const std::vector<StoredRule>& rules(const std::string& chain) const override;
  std::size_t references(const std::string& chain) const override;
  bool drops_by_policy(const std::string& chain) const override;
  void ensure_chain(const std::string& chain) override;
  void append(const std::string& chain, const Rule& rule) override;
  void insert(const std::string& chain, std::size_t position, const Rule& rule) override;
  void erase(const std::string& chain, std::size_t position) override;
  void flush(const std::string& chain) override;
  void delete_chain(const std::string& chain) override;
  bool changed() const override;

  // As dialect_table_text() says it.
  std::string text() const;

  // What was changed. Chains come before rules that jump to them, and go after;
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
    bool present = false;                               // and shall have it
    std::uint32_t use = 0;                              // as the kernel counts it
    std::size_t stored_rules = 0;                       // once they are read
    // Whether `rules` are all. Those that were appended may be there before.
    bool is_read = false;
    std::vector<StoredRule> rules = {};
    std::vector<std::uint64_t> handles = {};  // of `rules`; 0 for a new one
    std::vector<std::uint64_t> erased = {};
  };

  // Asks the kernel for a name that was not asked for before.
  Chain& look_up(const std::string& name) const;
  Chain& take(const nftables::Chain& chain) const;
  // Nothing if it is not present.
  Chain* find_chain(const std::string& name) const;
  Chain& get_chain(const std::string& name);
  void read(const std::string& name, Chain& chain) const;
  // With all its rules.
  Chain& read_chain(const std::string& name);
  // Nothing as the position is the end.
  void put(const std::string& chain, std::optional<std::size_t> position, const Rule& rule);
  nftables::TableId id() const;

  void add_erasures(nftables::Batch& batch, const std::string& name, const Chain& chain) const;
  void add_rules(nftables::Batch& batch, const std::string& name, const Chain& chain) const;

  inet::Family family_;
  std::string name_;
  std::shared_ptr<nftables::Socket> socket_;
  mutable std::map<std::string, Chain> chains_;
  std::map<std::string, std::ptrdiff_t> more_references_;  // than the kernel has, by chain
};

// For messages: `table "ip nat" of iptables`.
std::string dialect_table_text(inet::Family family, const std::string& name);

}  // namespace cni::xtables
