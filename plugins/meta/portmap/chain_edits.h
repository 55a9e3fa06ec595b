// Changes of chains of host ports in table nat of the stores of xtables rules, and the way back.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "books.h"
#include "chain_shares.h"
#include "netfilter/choose_store.h"
#include "netfilter/owner.h"
#include "xtables/table.h"

namespace cni::portmap {

// A chain and the jumps to it from where there may be some; any to CNI-HOSTPORT-MASQ stands for the
// one that portmap makes.
struct ChainImage {
  struct Jump {
    std::string from;
    std::size_t position;
    xtables::Rule rule;
  };
  std::string chain;
  std::vector<xtables::Rule> rules = {};
  std::vector<Jump> jumps = {};
};

// Nothing as image: there was none, or there is none any more.
struct ChangedChain {
  netfilter::StoreChoice store;
  inet::Family family;
  std::string chain;
  std::optional<ChainImage> before;
  std::optional<ChainImage> after;
};

class ChainEdits {
 public:
  using Edit = std::function<void(xtables::Table&)>;

  void add(netfilter::StoreChoice store, inet::Family family, const std::string& chain, Edit edit);

  // Whether there is any of that table nat.
  bool concern(netfilter::StoreChoice store, inet::Family family) const;

  // What attachments have less in `after`, or not at all any more, goes from their chains.
  void add_losses(const std::vector<FamilyPlan>& plans);

  // What is in `changed` becomes what it was where nobody has changed the chain since. `owner`, who
  // changed it, loses a chain that was not there before in any case, and others in `plans` nothing.
  void add_way_back(const std::vector<ChangedChain>& changed, const std::vector<FamilyPlan>& plans,
                    const netfilter::Owner& owner);

  // One commit per store and family. After each one comes to `changed`, if it is given, what it did
  // to chains whose rules can be put back.
  void apply(std::vector<ChangedChain>* changed = nullptr) const;

 private:
  struct Chain {
    std::string name;
    Edit edit;
  };
  struct Table {
    netfilter::StoreChoice store;
    inet::Family family;
    std::vector<Chain> chains;
  };
  std::vector<Table> tables_;
};

// What attachments other than `owner` have in a chain of that name.
std::vector<ChainShare> other_shares(const std::vector<FamilyPlan>& plans, inet::Family family,
                                     netfilter::StoreChoice store, const std::string& chain,
                                     const netfilter::Owner& owner);

}  // namespace cni::portmap
