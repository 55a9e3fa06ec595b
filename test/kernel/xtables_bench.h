// What the tests of stores of xtables rules share: a host, and the tools of a store as judges.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "support/sandbox.h"
#include "support/snapshot.h"
#include "support/two_namespaces.h"
#include "xtables/table.h"

namespace cni::test {

struct TestedStore {
  std::unique_ptr<xtables::Store> (*open)();
  std::string flavour;  // of the tools: iptables-<flavour>
};
inline const TestedStore kDialectStore = {.open = xtables::open_dialect, .flavour = "nft"};
inline const TestedStore kLegacyStore = {.open = [] { return xtables::open_legacy(); },
                                         .flavour = "legacy"};

// The store is opened for one step each time: the legacy one keeps others out until its end. The
// thread is in the namespace of the host.
class Bench {
 public:
  Bench(const TestedStore& store, inet::Family family);

  inet::Family family() const { return family_; }

  // `arguments` as a shell reads them; `suffix` is that of the tool's name.
  Outcome try_tool(const std::string& arguments, const std::string& suffix = "") const;
  // It has to succeed. Returns what the tool prints.
  std::string tool(const std::string& arguments, const std::string& suffix = "") const;

  // The rules of a chain as the tool prints them, without "-A <chain> ".
  std::vector<std::string> listed(const std::string& chain, const std::string& table = "nat") const;

  // Through the store.
  void change(const std::function<void(xtables::Table&)>& change, const std::string& table = "nat");
  std::unique_ptr<const xtables::Table> find(const std::string& table = "nat");
  // Makes the chains "TEST" and "OTHER" of table nat.
  void make_chains();

  Snapshot snapshot() const { return Snapshot::take(host_.path()); }

 private:
  Host host_;
  inet::Family family_;
  std::string flavour_;
  std::unique_ptr<xtables::Store> (*open_)();
  Inside inside_;
};

xtables::Rule commented(const std::string& text, const xtables::Target& target = xtables::Accept{});

// The comments of a chain, one after the other.
std::string comments(const xtables::Table& table, const std::string& chain);

// The rules of a chain in the words of iptables-save; "?" for one that the model has none for.
std::vector<std::string> lines(const xtables::Table& table, const std::string& chain);

// Of the legacy tables: the file that iptables locks, and the names of the tables that the
// namespace of this thread has, "IPv4|IPv6", each with a line end.
inline constexpr const char* kLock = "/run/xtables.lock";
std::string names_in_use();
// Table nat of IPv4, by a store of its own.
void change_nat(const std::function<void(xtables::Table&)>& change);

// What goes wrong, or "no error".
std::string message_of(const std::function<void()>& attempt);

}  // namespace cni::test
