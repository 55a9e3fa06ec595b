#include "hostports.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "chain_names.h"
#include "claims.h"
#include "flows.h"
#include "legacy_guard.h"
#include "liveness.h"
#include "localnet.h"
#include "native_hostports.h"
#include "native_layout.h"
#include "reference_hostports.h"

namespace cni::portmap {
namespace {

using inet::Family;
using netfilter::same_attachment;
using netfilter::StoreChoice;
using xtables::StoreKind;

// A connection to nf_tables; nothing if the kernel has none.
// The stores of xtables rules in which there are host ports at all. Reading a table takes the
// longer the more rules others have in it.
std::vector<std::unique_ptr<xtables::Store>> stores_with_hostports(
    std::optional<nftables::Socket>& socket) {
  auto stores = netfilter::existing_xtables_stores();
  std::erase_if(stores, [&](const std::unique_ptr<xtables::Store>& store) {
    if (store->kind() != StoreKind::kDialect || !socket) return false;
    return std::ranges::none_of(kFamilies, [&](Family family) {
      const nftables::TableId nat{.family = nftables::table_family(family), .name = "nat"};
      return socket->find_chain(nat, kEntryChain).has_value();
    });
  });
  return stores;
}

StoreKind kind_of(StoreChoice store) {
  return store == StoreChoice::kDialect ? StoreKind::kDialect : StoreKind::kLegacy;
}

// What one family of the host has, as it was and as it is to be.
struct FamilyPlan {
  Family family;
  std::vector<Holding> before;
  std::vector<Holding> after;
};

const Holding* find_holding(const std::vector<Holding>& holdings, const netfilter::Owner& owner) {
  const auto found = std::ranges::find_if(
      holdings, [&](const Holding& one) { return same_attachment(one.owner, owner); });
  return found == holdings.end() ? nullptr : &*found;
}

// The books of both families, under the lock of writers. A kernel without nf_tables has none.
class Books {
 public:
  enum class Use { kLook, kChange };

  explicit Books(Use use) : socket_(nftables::Socket::find()) {
    if (!socket_) return;
    const bool exists = std::ranges::any_of(kFamilies, [&](Family family) {
      return socket_->find_table(hostports_table(family)).has_value();
    });
    if (use == Use::kChange || exists) lock_ = netfilter::lock_native_tables();
  }

  std::optional<nftables::Socket>& socket() { return socket_; }

  // Only if there is a socket.
  NativeHostports of(Family family) { return {*socket_, family}; }

  std::vector<Holding> list(Family family) {
    return socket_ ? of(family).list() : std::vector<Holding>();
  }

  // One transaction for both families.
  void commit(const std::vector<FamilyPlan>& plans, const std::string& attempt,
              const netfilter::Owner* owner = nullptr) {
    if (!socket_) return;
    nftables::Batch batch;
    bool removes = false;
    for (const FamilyPlan& plan : plans) {
      const auto changed = changes(plan.before, plan.after, owner);
      of(plan.family).apply(batch, changed);
      // An earlier call may have ended before it could delete the table.
      removes = removes || plan.after.empty() || plan.after.size() < plan.before.size();
    }
    if (!put(batch, plans, attempt) || !removes) return;
    for (const FamilyPlan& plan : plans) of(plan.family).delete_if_unused();
  }

 private:
  // Returns whether there are books. A kernel may have nf_tables, but not for IP; rules in another
  // store do without.
  bool put(const nftables::Batch& batch, const std::vector<FamilyPlan>& plans,
           const std::string& attempt) {
    const bool has_native = std::ranges::any_of(plans, [](const FamilyPlan& plan) {
      return std::ranges::any_of(
          plan.after, [](const Holding& one) { return one.store == StoreChoice::kNative; });
    });
    if (has_native) {
      socket_->commit(batch, attempt);
    } else if (socket_->try_commit(batch, attempt, {EOPNOTSUPP, EAFNOSUPPORT}) != 0) {
      socket_.reset();
    }
    return socket_.has_value();
  }

  std::optional<nftables::Socket> socket_;
  std::optional<state::FileLock> lock_;
};

// Chains that nothing is written down about: of the reference suite, or from a time without
// nf_tables.
template <typename Visit>
void for_each_foreign_chain(xtables::Store& store, Family family,
                            const std::vector<Holding>& holdings, const Visit& visit) {
  const auto nat = store.find(family, "nat");
  if (!nat) return;
  for (const ChainHolder& holder : chain_holders(*nat)) {
    const bool known = std::ranges::any_of(
        holdings, [&](const Holding& one) { return one.chain == holder.chain; });
    if (!known) visit(holder);
  }
}

bool is_localnet_needed(const std::string& interface, const std::vector<Holding>& holdings,
                        std::optional<nftables::Socket>& socket) {
  if (std::ranges::any_of(holdings, [&](const Holding& one) {
        return one.localnet && one.localnet->interface == interface;
      })) {
    return true;
  }
  const auto leads_there = [&](const std::optional<inet::Address>& address) {
    return address && find_interface_to(*address) == interface;
  };
  bool needed = false;
  if (socket) {
    for (const ReferenceHolder& holder : reference_holders(*socket, Family::kIpv4)) {
      needed = needed || leads_there(holder.address);
    }
  }
  for (const auto& store : stores_with_hostports(socket)) {
    for_each_foreign_chain(*store, Family::kIpv4, holdings, [&](const ChainHolder& holder) {
      needed = needed || leads_there(holder.address);
    });
  }
  return needed;
}

// Turns route_localnet off where nobody needs it any more.
void settle_localnet(const FamilyPlan& v4, Books& books) {
  std::set<std::string> interfaces;
  for (const Holding& holding : v4.before) {
    if (holding.localnet && holding.localnet->reset) interfaces.insert(holding.localnet->interface);
  }
  for (const std::string& interface : interfaces) {
    if (!is_localnet_needed(interface, v4.after, books.socket())) {
      stop_routing_localnet(interface);
    }
  }
}

// The same where no books say which interfaces these are.
void settle_guards(Books& books) {
  for (const auto& store : netfilter::existing_xtables_stores()) {
    if (store->kind() != StoreKind::kLegacy) continue;
    for (const std::string& interface : guarded_interfaces(*store)) {
      if (is_localnet_needed(interface, {}, books.socket())) continue;
      stop_routing_localnet(interface);
      remove_guard(*store, interface);
    }
  }
}

// Takes from the rules of others what they do not have any more.
void adjust_others(const std::vector<FamilyPlan>& plans, const netfilter::Owner* own) {
  for (const FamilyPlan& plan : plans) {
    for (const auto& [before, after] : changes(plan.before, plan.after)) {
      if (!before || before->store == StoreChoice::kNative || before->chain.empty()) continue;
      if (own != nullptr && same_attachment(before->owner, *own)) continue;
      const auto store = netfilter::open_xtables_store(before->store);
      store->change(plan.family, "nat", [&, old = *before, now = after](xtables::Table& nat) {
        if (!now) {
          remove_chain(nat, old.chain);
        } else {
          take_ports(
              nat,
              {.chain = old.chain, .network = {}, .container_id = {}, .runs = {}, .address = {}},
              without(old.runs, now->runs));
        }
      });
    }
  }
}

[[noreturn]] void refuse(const Run& run, const std::string& network,
                         const std::string& container_id) {
  std::string holder = container_id.empty() ? "another container" : "container " + container_id;
  if (!network.empty()) holder += fmt::format(" (network {})", in_quotes(network));
  throw Busy(fmt::format("host port {} is in use by {}", run.text(), holder));
}

// Ports that the reference suite gave to others: the dead lose all they have.
class ForeignClaims {
 public:
  ForeignClaims(const Config& config, Liveness& liveness, const netfilter::Owner& owner)
      : config_(config), liveness_(liveness), owner_(owner) {}

  // Throws Busy. Changes nothing yet.
  void look(Books& books, const FamilyPlan& plan, const Holding& wanted) {
    const PortIndex index(wanted.runs);
    const auto judge = [&](const std::vector<Run>& runs, const std::string& network,
                           const std::string& id, const std::optional<inet::Address>& address,
                           const std::function<void(bool alive)>& act) {
      std::vector<Run> in_the_way;
      for (const Run& run : runs) {
        for (const Run& part : index.colliding(run)) in_the_way.push_back(part);
      }
      if (in_the_way.empty()) return;
      const bool alive = address && liveness_.is_alive(*address);
      if (alive && config_.conflict_policy == ConflictPolicy::kError) {
        refuse(in_the_way.front(), network, id);
      }
      if (!alive || config_.conflict_policy == ConflictPolicy::kReplace) act(alive);
    };
    const Family family = plan.family;
    if (books.socket()) {
      for (const ReferenceHolder& holder : reference_holders(*books.socket(), family)) {
        if (holder.container_id == owner_.container_id) continue;
        judge(holder.runs, "", holder.container_id, holder.address, [&](bool) {
          steps_.push_back([&books, family, holder] {
            delete_reference_rules(*books.socket(), family, holder.container_id, holder.address);
          });
        });
      }
    }
    const std::string own_chain = container_chain(owner_.network, owner_.container_id);
    for (const auto& store : stores_with_hostports(books.socket())) {
      const StoreChoice choice =
          store->kind() == StoreKind::kDialect ? StoreChoice::kDialect : StoreChoice::kLegacy;
      for_each_foreign_chain(*store, family, plan.before, [&](const ChainHolder& holder) {
        if (holder.chain == own_chain || holder.container_id == owner_.container_id) return;
        judge(holder.runs, holder.network, holder.container_id, holder.address, [&](bool alive) {
          steps_.push_back([choice, family, holder, alive, runs = wanted.runs] {
            netfilter::open_xtables_store(choice)->change(family, "nat", [&](xtables::Table& nat) {
              if (alive) {
                take_ports(nat, holder, runs);
              } else {
                remove_chain(nat, holder.chain);
              }
            });
          });
        });
      });
    }
  }

  void apply() const {
    for (const auto& step : steps_) step();
  }

 private:
  const Config& config_;
  Liveness& liveness_;
  const netfilter::Owner& owner_;
  std::vector<std::function<void()>> steps_;
};

// What the attachment had in other stores than that of now, made by the reference suite perhaps.
void remove_own_chain_elsewhere(Books& books, const netfilter::Owner& owner, StoreChoice store) {
  const std::string chain = container_chain(owner.network, owner.container_id);
  for (const auto& other : stores_with_hostports(books.socket())) {
    if (store != StoreChoice::kNative && other->kind() == kind_of(store)) continue;
    for (const Family family : kFamilies) {
      const auto nat = other->find(family, "nat");
      if (!nat || !nat->has_chain(chain)) continue;
      other->change(family, "nat", [&](xtables::Table& table) { remove_chain(table, chain); });
    }
  }
}

// Only what an ADD did and nobody has changed since.
void take_back(const std::vector<FamilyPlan>& plans, const Holding& wanted) {
  Books books(Books::Use::kChange);
  std::vector<FamilyPlan> way_back;
  for (const FamilyPlan& plan : plans) {
    FamilyPlan back{.family = plan.family, .before = books.list(plan.family), .after = {}};
    back.after = back.before;
    for (const auto& [before, after] : changes(plan.before, plan.after)) {
      const netfilter::Owner& owner = before ? before->owner : after->owner;
      const Holding* now = find_holding(back.before, owner);
      if ((now == nullptr) != !after || (now != nullptr && *now != *after)) continue;
      std::erase_if(back.after,
                    [&](const Holding& one) { return same_attachment(one.owner, owner); });
      if (before) back.after.push_back(*before);
    }
    way_back.push_back(std::move(back));
  }
  if (!wanted.chain.empty()) {
    const auto store = netfilter::open_xtables_store(wanted.store);
    for (const Family family : kFamilies) {
      if (!store->find(family, "nat")) continue;
      store->change(family, "nat", [&](xtables::Table& nat) { remove_chain(nat, wanted.chain); });
    }
  }
  for (const FamilyPlan& plan : way_back) {
    if (plan.family == Family::kIpv4) settle_localnet(plan, books);
  }
  settle_guards(books);
  books.commit(way_back, "take back the host ports");
}

Localnet plan_localnet(const std::string& interface, const std::vector<Holding>& others) {
  const bool by_us = std::ranges::any_of(others, [&](const Holding& one) {
    return one.localnet && one.localnet->interface == interface && one.localnet->reset;
  });
  return {.interface = interface, .reset = by_us || !is_localnet_routed(interface)};
}

}  // namespace

void publish(const Request& request, const Config& config, StoreChoice store, Undo& undo) {
  std::vector<Holding> wanted;
  for (const Family family : kFamilies) {
    if (config.address(family)) wanted.push_back(wanted_holding(request, config, store, family));
  }
  if (wanted.empty()) return;
  const netfilter::Owner owner = wanted.front().owner;
  // Rendered first: what cannot be said is refused before anything changes.
  std::map<Family, ContainerRules> rules;
  if (store != StoreChoice::kNative) {
    for (const Holding& one : wanted) {
      rules.emplace(one.family(),
                    render_rules(config, one.family(), owner.network, owner.container_id));
    }
  }

  std::vector<FamilyPlan> plans;
  {
    Books books(Books::Use::kChange);
    Liveness liveness(request, config);
    ForeignClaims foreign(config, liveness, owner);
    const auto is_alive = [&](const Holding& other) { return liveness.is_alive(other); };
    for (const Family family : kFamilies) {
      FamilyPlan plan{.family = family, .before = books.list(family), .after = {}};
      const auto one = std::ranges::find_if(
          wanted, [&](const Holding& holding) { return holding.family() == family; });
      // An attachment without a port in this family needs nothing here.
      if (one == wanted.end() || one->runs.empty()) {
        plan.after = without(plan.before, [&](const Holding& holding) {
          return same_attachment(holding.owner, owner);
        });
      } else {
        if (family == Family::kIpv4 && config.snat) {
          if (const auto interface = find_interface_to(one->address.address)) {
            one->localnet = plan_localnet(*interface, plan.before);
          }
        }
        foreign.look(books, plan, *one);
        plan.after = with(plan.before, *one, config.conflict_policy, is_alive);
      }
      plans.push_back(std::move(plan));
    }
    undo.add("take back the host ports",
             [plans, first = wanted.front()] { take_back(plans, first); });
    // First the guard, then what it guards.
    books.commit(plans, "map the host ports", &owner);
    foreign.apply();
    adjust_others(plans, &owner);
    remove_own_chain_elsewhere(books, owner, store);
    for (const auto& [family, container] : rules) {
      netfilter::open_xtables_store(store)->change(
          family, "nat", [&](xtables::Table& nat) { apply_rules(nat, container); });
    }
    for (const Holding& one : wanted) {
      if (!one.localnet) continue;
      if (!books.socket() && one.localnet->reset) {
        ensure_guard(*netfilter::open_xtables_store(store), one.localnet->interface);
      }
      route_localnet(one.localnet->interface);
    }
    settle_localnet(plans.front(), books);
  }
  for (const Holding& one : wanted) forget_flows(one.family(), one.runs, std::nullopt);
}

void withdraw(const Selection& selection, BestEffort& cleanup) {
  // Flows to the containers, once nothing leads there any more.
  struct Forwarded {
    Family family;
    std::vector<Run> runs;
    std::optional<inet::Address> container;
  };
  std::vector<Forwarded> forwarded;
  std::vector<FamilyPlan> plans;
  std::optional<Books> books;
  cleanup.run("read the host ports", [&] {
    books.emplace(Books::Use::kLook);
    for (const Family family : kFamilies) {
      FamilyPlan plan{.family = family, .before = books->list(family), .after = {}};
      plan.after = without(plan.before, selection.holding);
      for (const Holding& one : plan.before) {
        if (selection.holding(one)) forwarded.push_back({family, one.runs, one.address.address});
      }
      plans.push_back(std::move(plan));
    }
  });
  if (plans.empty()) {
    cleanup.finish();
    return;
  }
  cleanup.run("remove the rules of xtables", [&] {
    adjust_others(plans, nullptr);
    for (const auto& store : stores_with_hostports(books->socket())) {
      for (const FamilyPlan& plan : plans) {
        std::vector<std::string> chains;
        for_each_foreign_chain(*store, plan.family, plan.before, [&](const ChainHolder& holder) {
          if (!selection.chain(holder)) return;
          chains.push_back(holder.chain);
          forwarded.push_back({plan.family, holder.runs, holder.address});
        });
        if (chains.empty()) continue;
        store->change(plan.family, "nat", [&](xtables::Table& nat) {
          for (const std::string& chain : chains) remove_chain(nat, chain);
        });
      }
    }
  });
  cleanup.run("remove the rules of the table cni_hostport", [&] {
    if (selection.reference_id.empty() || !books->socket()) return;
    for (const Family family : kFamilies) {
      const auto& address =
          family == Family::kIpv4 ? selection.reference_v4 : selection.reference_v6;
      for (const auto& rule : reference_rules(*books->socket(), family, selection.reference_id)) {
        if (rule.run && !rule.addresses.empty()) {
          forwarded.push_back({family, {*rule.run}, rule.addresses.back()});
        }
      }
      delete_reference_rules(*books->socket(), family, selection.reference_id, address);
    }
  });
  cleanup.run("turn route_localnet off", [&] {
    settle_localnet(plans.front(), *books);
    settle_guards(*books);
  });
  cleanup.run("remove the host ports", [&] { books->commit(plans, "remove the host ports"); });
  books.reset();
  cleanup.run("forget the flows to the container", [&] {
    for (const Forwarded& one : forwarded) forget_flows(one.family, one.runs, one.container);
  });
}

namespace {

// What is written down of the attachment, against what it should be.
void compare_holding(const Holding& wanted, const Holding& present, const std::vector<Holding>& all,
                     std::vector<std::string>& found) {
  const auto add = [&](std::string text) { found.push_back(std::move(text)); };
  if (present.address != wanted.address) {
    add(fmt::format("host ports lead to {}, not to {}", present.address.text(),
                    wanted.address.text()));
  }
  std::vector<Run> served = present.runs;
  served.insert(served.end(), present.waiting.begin(), present.waiting.end());
  for (const Run& run : without(wanted.runs, served)) {
    const auto holder = std::ranges::find_if(all, [&](const Holding& other) {
      return !same_attachment(other.owner, wanted.owner) &&
             std::ranges::any_of(other.runs, [&](const Run& one) { return collide(one, run); });
    });
    add(fmt::format("host port {} is not mapped{}", run.text(),
                    holder == all.end() ? "" : ": " + describe(*holder) + " has it"));
  }
  for (const Run& run : without(served, wanted.runs)) {
    add(fmt::format("host port {} is mapped, and the configuration does not ask for it",
                    run.text()));
  }
  if (present.store == StoreChoice::kNative && found.empty() && present.waiting.empty() &&
      (present.runs != wanted.runs || present.gates != wanted.gates)) {
    add("container ports, conditions or sources of the host ports are not those of the "
        "configuration");
  }
  if (present.masquerade != wanted.masquerade)
    add("snat or masqAll is not that of the configuration");
}

// Of a container of the reference suite's nftables backend.
void compare_reference(const Holding& wanted, const std::vector<ReferenceRule>& rules,
                       std::vector<std::string>& found) {
  std::vector<Run> served;
  for (const ReferenceRule& rule : rules) {
    const bool to_container =
        std::ranges::find(rule.addresses, wanted.address.address) != rule.addresses.end();
    if (rule.run && to_container) served.push_back(*rule.run);
  }
  for (const Run& run : without(wanted.runs, served)) {
    found.push_back(
        fmt::format("missing hostport rules in \"hostports\" chain: host port {}", run.text()));
  }
  const bool masquerades = std::ranges::any_of(rules, [&](const ReferenceRule& rule) {
    return rule.rule.chain == "masquerading" &&
           std::ranges::find(rule.addresses, wanted.address.address) != rule.addresses.end();
  });
  if (wanted.masquerade != Masquerade::kNone && !masquerades) {
    found.emplace_back("missing hostport rules in \"masquerading\" chain");
  }
}

void compare_chain(const Config& config, const Holding& wanted, StoreChoice store,
                   std::vector<std::string>& found) {
  const ContainerRules rules =
      render_rules(config, wanted.family(), wanted.owner.network, wanted.owner.container_id);
  const auto nat = netfilter::open_xtables_store(store)->find(wanted.family(), "nat");
  const auto missing =
      nat ? missing_rules(*nat, rules)
          : std::vector{fmt::format("chain {} not found in iptables table nat", rules.chain)};
  for (const std::string& one : missing) {
    found.push_back(fmt::format("could not check {} dnat: {}",
                                wanted.family() == Family::kIpv4 ? "ipv4" : "ipv6", one));
  }
}

// The store in which the attachment has its chain.
std::optional<StoreChoice> find_chain_store(std::optional<nftables::Socket>& socket,
                                            const Holding& wanted) {
  const std::string chain = container_chain(wanted.owner.network, wanted.owner.container_id);
  for (const auto& store : stores_with_hostports(socket)) {
    const auto nat = store->find(wanted.family(), "nat");
    if (nat && nat->has_chain(chain)) {
      return store->kind() == StoreKind::kDialect ? StoreChoice::kDialect : StoreChoice::kLegacy;
    }
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> differences(const Request& request, const Config& config) {
  std::vector<std::string> found;
  std::optional<nftables::Socket> socket = nftables::Socket::find();
  for (const Family family : kFamilies) {
    if (!config.address(family)) continue;
    Holding wanted = wanted_holding(request, config, StoreChoice::kNative, family);
    if (wanted.runs.empty()) continue;
    const auto all = socket ? NativeHostports(*socket, family).list() : std::vector<Holding>();
    std::optional<StoreChoice> store;
    if (const Holding* present = find_holding(all, wanted.owner)) {
      compare_holding(wanted, *present, all, found);
      for (std::string& text : NativeHostports(*socket, family).differences(*present)) {
        found.push_back(std::move(text));
      }
      if (present->store != StoreChoice::kNative) store = present->store;
      if (present->localnet && !is_localnet_routed(present->localnet->interface)) {
        found.push_back(fmt::format("sysctl net/ipv4/conf/{}/route_localnet is 0, not 1",
                                    present->localnet->interface));
      }
    } else if (store = find_chain_store(socket, wanted); !store) {
      const auto rules = socket ? reference_rules(*socket, family, wanted.owner.container_id)
                                : std::vector<ReferenceRule>();
      if (rules.empty()) {
        found.push_back(fmt::format("no host port is mapped to the {} address of the container",
                                    inet::name(family)));
        continue;
      }
      compare_reference(wanted, rules, found);
    }
    if (store) compare_chain(config, wanted, *store, found);
  }
  return found;
}

}  // namespace cni::portmap
