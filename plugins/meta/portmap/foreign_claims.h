// Ports that the reference suite gave to others, and what an ADD does about them.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "books.h"
#include "chain_edits.h"
#include "config.h"
#include "liveness.h"
#include "reference_hostports.h"
#include "xtables_hostports.h"

namespace cni::portmap {

// The dead lose all they have; the living lose the ports asked for, if the configuration says so.
class ForeignClaims {
 public:
  // All of them must outlive this. `owner` is who asks.
  ForeignClaims(const Config& config, Liveness& liveness, const netfilter::Owner& owner)
      : config_(config), liveness_(liveness), owner_(owner) {}

  // Throws Busy. Changes nothing yet.
  void look(Books& books, const FamilyPlan& plan, const Holding& wanted);

  // What to do to chains.
  void add_edits(ChainEdits& edits) const;
  // Deletes rules in the reference suite's tables. To `deleted` comes what can be put back.
  void delete_rules(nftables::Socket& socket, std::vector<nftables::Rule>& deleted) const;

 private:
  struct Claim {
    const std::vector<Run>& runs;
    const std::string& network;  // "" if not known
    const std::string& container_id;
    const std::optional<inet::Address>& address;
  };
  enum class Judgement { kNotInTheWay, kKeepsAll, kLosesPorts, kLosesAll };
  Judgement judge(const PortIndex& wanted, const Claim& claim);

  void look_at_tables(Books& books, inet::Family family, const PortIndex& wanted);
  void look_at_chains(Books& books, const FamilyPlan& plan, const Holding& wanted,
                      const PortIndex& index);

  const Config& config_;
  Liveness& liveness_;
  const netfilter::Owner& owner_;
  struct Loss {
    netfilter::StoreChoice store;
    inet::Family family;
    ChainHolder holder;
    std::vector<Run> ports;  // none: all
  };
  std::vector<Loss> losses_;
  std::vector<std::pair<inet::Family, ReferenceHolder>> doomed_;
};

}  // namespace cni::portmap
