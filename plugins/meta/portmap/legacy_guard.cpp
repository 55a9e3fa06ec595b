#include "legacy_guard.h"

#include <algorithm>

#include "inet/network.h"

namespace cni::portmap {
namespace {

using inet::Family;
using xtables::Rule;
using xtables::StoredRule;

// The first place that packets come by, before any address is translated.
constexpr const char* kTable = "raw";
constexpr const char* kChain = "PREROUTING";

Rule guard_of(const std::string& interface) {
  return {.destination = xtables::AddressMatch{.network = *inet::Network::parse("127.0.0.0/8")},
          .in = xtables::InterfaceMatch{.name = interface},
          .matches = {xtables::Comment{.text = "CNI portfwd guard of localhost"}},
          .target = xtables::Drop{}};
}

bool is_guard(const StoredRule& stored) {
  return stored.rule && stored.rule->in && *stored.rule == guard_of(stored.rule->in->name);
}

}  // namespace

void ensure_guard(xtables::Store& store, const std::string& interface) {
  store.change(Family::kIpv4, kTable,
               [&](xtables::Table& raw) { raw.ensure_first(kChain, guard_of(interface)); });
}

std::vector<std::string> guarded_interfaces(xtables::Store& store) {
  std::vector<std::string> interfaces;
  const auto raw = store.find(Family::kIpv4, kTable);
  if (!raw) return interfaces;
  for (const StoredRule& stored : raw->rules(kChain)) {
    if (is_guard(stored)) interfaces.push_back(stored.rule->in->name);
  }
  return interfaces;
}

void remove_guard(xtables::Store& store, const std::string& interface) {
  store.change(Family::kIpv4, kTable, [&](xtables::Table& raw) {
    raw.erase_if(kChain, [&](const StoredRule& stored) {
      return is_guard(stored) && stored.rule->in->name == interface;
    });
  });
}

}  // namespace cni::portmap
