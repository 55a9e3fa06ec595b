// Ports that the reference suite gave to others, and what an ADD does about them.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "books.h"
#include "config.h"
#include "liveness.h"

namespace cni::portmap {

// The dead lose all they have; the living lose the ports asked for, if the configuration says so.
class ForeignClaims {
 public:
  // All of them must outlive this. `owner` is who asks.
  ForeignClaims(const Config& config, Liveness& liveness, const netfilter::Owner& owner)
      : config_(config), liveness_(liveness), owner_(owner) {}

  // Throws Busy. Changes nothing yet.
  void look(Books& books, const FamilyPlan& plan, const Holding& wanted);

  void apply() const;

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
  std::vector<std::function<void()>> steps_;
};

}  // namespace cni::portmap
