// One table of one address family in one of the two stores of xtables rules, read, changed in
// memory and put back in one step.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "inet/address.h"
#include "xtables/rule.h"

namespace cni::xtables {

// A rule as it was read. Foreign rules may hold what the model has no words for: then `rule` is
// empty, and target and comment are still known where they can be.
struct StoredRule {
  std::optional<Rule> rule;
  std::string jump_target;
  std::string comment;
};

class Table {
 public:
  virtual ~Table() = default;

  virtual inet::Family family() const = 0;
  // A built-in chain may be missing too.
  virtual bool has_chain(const std::string& chain) const = 0;
  // User chains, in no order.
  virtual std::vector<std::string> chains() const = 0;
  // In order; empty if there is no such chain. Valid until the next change of the table.
  virtual const std::vector<StoredRule>& rules(const std::string& chain) const = 0;
  // How many rules of the table jump or go to the user chain, wherever they are. At less cost than
  // to look for them.
  virtual std::size_t references(const std::string& chain) const = 0;
  // Of a built-in chain. The store may lack the chain, which then accepts.
  virtual bool drops_by_policy(const std::string& chain) const = 0;

  // Changes take effect at commit, and are visible here at once. Built-in chains are made if the
  // store lacks them; a user chain that is not there is a SystemError with ENOENT, also as the
  // target of a jump. Rules go through require_valid(). Positions count from 0; beyond the end is
  // std::out_of_range.
  virtual void ensure_chain(const std::string& chain) = 0;
  virtual void append(const std::string& chain, const Rule& rule) = 0;
  virtual void insert(const std::string& chain, std::size_t position, const Rule& rule) = 0;
  virtual void erase(const std::string& chain, std::size_t position) = 0;
  virtual void flush(const std::string& chain) = 0;
  // EINVAL for a built-in chain. Its rules go too. Nothing may jump to it any more at commit.
  virtual void delete_chain(const std::string& chain) = 0;

  virtual bool changed() const = 0;

  // Made of the above.
  // Whether a rule with the same meaning is anywhere in the chain.
  bool has_rule(const std::string& chain, const Rule& rule) const;
  // Add the rule, at the end or as the first, unless the chain has it anywhere. Return whether they
  // had to.
  bool ensure_appended(const std::string& chain, const Rule& rule);
  bool ensure_first(const std::string& chain, const Rule& rule);
  // Takes every rule out of `chain` for which `condition` holds; returns how many.
  std::size_t erase_if(const std::string& chain,
                       const std::function<bool(const StoredRule&)>& condition);
  // Takes out every jump to it from any of `from`, then the chain. Returns whether it was there.
  bool delete_chain_if_exists(const std::string& chain, const std::vector<std::string>& from);
};

// Where xtables rules are kept.
enum class StoreKind { kDialect, kLegacy };

class Store {
 public:
  virtual ~Store() = default;
  virtual StoreKind kind() const = 0;

  // Calls `change` with the table and commits what it changed; does so again with a fresh one if
  // somebody else changed something since. `change` must depend on its argument alone. Throws
  // SystemError that names the missing kernel feature if the store does not exist; Busy if the lock
  // of xtables was not to be had.
  virtual void change(inet::Family family, const std::string& table,
                      const std::function<void(Table&)>& change) = 0;

  // For reading only. Nothing if the table is not in use, and then it is not created either. Each
  // chain is as it was at some time since: one may be newer than another.
  virtual std::unique_ptr<const Table> find(inet::Family family, const std::string& table) = 0;
};

// The tables of nf_tables that iptables-nft uses.
std::unique_ptr<Store> open_dialect();

// The tables of iptables-legacy. From its first change until its end it holds the lock of xtables
// (/run/xtables.lock, or XTABLES_LOCKFILE), as iptables -w does, after a wait of at most
// `lock_wait`. Stores of one thread hold it together.
std::unique_ptr<Store> open_legacy(std::chrono::milliseconds lock_wait = std::chrono::seconds(60));

// Throws SystemError if the legacy tables cannot be reached, or by others only. Opens none.
void require_legacy_access();

// The names of the legacy tables that are in use in the network namespace of this thread; nothing
// if the kernel has none. Unlike an attempt to open one this makes none.
std::optional<std::vector<std::string>> find_legacy_tables(inet::Family family);

}  // namespace cni::xtables
