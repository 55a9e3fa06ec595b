#include "forward_accept/accept_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <optional>

#include "base/digest.h"
#include "netfilter/choose_store.h"

namespace cni::forward_accept {
namespace {

using inet::Network;
using netfilter::Owner;
using xtables::Rule;
using xtables::StoredRule;
using xtables::Table;

constexpr const char* kBuiltIn = "FORWARD";
constexpr const char* kForward = "CNI-FORWARD";
constexpr const char* kAdmin = "CNI-ADMIN";
// Bits of XT_CONNTRACK_STATE_*.
constexpr std::uint16_t kRelatedOrEstablished = 4 | 2;
constexpr std::size_t kLongestComment = 255;  // bytes, linux/netfilter/xt_comment.h
constexpr std::size_t kDigits = 16;

Rule forward_jump() {
  return {.matches = {xtables::Comment{"CNI firewall plugin rules"}},
          .target = xtables::Jump{kForward}};
}

Rule admin_jump() {
  return {.matches = {xtables::Comment{"CNI firewall plugin admin overrides"}},
          .target = xtables::Jump{kAdmin}};
}

Rule answers_to(const Network& host) {
  return {.destination = xtables::AddressMatch{.network = host},
          .matches = {xtables::ConntrackState{kRelatedOrEstablished}},
          .target = xtables::Accept{}};
}

Rule all_from(const Network& host) {
  return {.source = xtables::AddressMatch{.network = host}, .target = xtables::Accept{}};
}

// --- records

std::string network_part(const std::string& network) {
  return sha512_hex(network, kDigits) + "-";
}

std::string attachment_part(const Owner& owner) {
  return sha512_hex(owner.ifname + ":" + owner.container_id, kDigits);
}

// The digests are for us, the names for people, who may get them cut.
std::string record_text(const Owner& owner) {
  const std::string names =
      fmt::format(" {}/{}/{}", owner.network, owner.container_id, owner.ifname);
  const std::string text = network_part(owner.network) + attachment_part(owner) + names;
  return text.substr(0, kLongestComment);
}

bool is_of_network(const StoredRule& record, const std::string& network) {
  return record.comment.starts_with(network_part(network));
}

bool is_of(const StoredRule& record, const Owner& owner) {
  return record.comment.size() > kDigits &&
         record.comment.substr(kDigits + 1).starts_with(attachment_part(owner));
}

Rule record_for(const Owner& owner, const Network& host) {
  return {.source = xtables::AddressMatch{.network = host},
          .matches = {xtables::Comment{record_text(owner)}},
          .target = xtables::Accept{}};
}

// Nothing of a rule that somebody else put there.
std::optional<Network> source_of(const StoredRule& record) {
  if (!record.rule || !record.rule->source) return std::nullopt;
  return record.rule->source->network;
}

// Takes out the records for which `condition` holds, together with the rules of their addresses.
void erase_records(Table& table, const std::function<bool(const StoredRule&)>& condition) {
  std::vector<Network> hosts;
  for (const StoredRule& record : table.rules(kRecords)) {
    const auto source = source_of(record);
    if (source && condition(record)) hosts.push_back(*source);
  }
  table.erase_if(kRecords, condition);
  for (const Network& host : hosts) {
    const std::array rules = {answers_to(host), all_from(host)};
    table.erase_if(kForward, [&](const StoredRule& stored) {
      return stored.rule && std::ranges::any_of(rules, [&](const Rule& rule) {
               return xtables::same_meaning(*stored.rule, rule);
             });
    });
  }
}

// --- chains

// Whether `chain` is jumped to from anywhere but `origin`.
bool is_used_beside(const Table& table, const std::string& chain, const std::string& origin) {
  const auto from_origin = std::ranges::count(table.rules(origin), chain, &StoredRule::jump_target);
  return table.references(chain) > static_cast<std::size_t>(from_origin);
}

bool are_unused(const Table& table) {
  const bool only_jump = std::ranges::all_of(table.rules(kForward), [](const StoredRule& stored) {
    return stored.jump_target == kAdmin && stored.rule &&
           xtables::same_meaning(*stored.rule, admin_jump());
  });
  return only_jump && table.rules(kAdmin).empty() && !is_used_beside(table, kForward, kBuiltIn) &&
         !is_used_beside(table, kAdmin, kForward);
}

void delete_chains_if_unused(Table& table) {
  if (!table.has_chain(kRecords) || !table.rules(kRecords).empty()) return;
  table.delete_chain(kRecords);
  const std::string mark(netfilter::kOwnForwardMark);
  if (!table.has_chain(mark)) return;
  table.delete_chain(mark);
  if (!are_unused(table)) return;
  table.delete_chain_if_exists(kAdmin, {kForward});
  table.delete_chain_if_exists(kForward, {kBuiltIn});
}

void ensure_chains(Table& table) {
  if (!table.has_chain(kForward) && !table.has_chain(kAdmin)) {
    table.ensure_chain(std::string(netfilter::kOwnForwardMark));
  }
  for (const char* chain : {kForward, kAdmin, kRecords}) table.ensure_chain(chain);
  table.ensure_first(kBuiltIn, forward_jump());
  table.ensure_first(kForward, admin_jump());
}

}  // namespace

void add_to(Table& table, const Owner& owner, const std::vector<Network>& addresses) {
  std::vector<Network> hosts;
  for (const Network& each : addresses) hosts.push_back(Network::host(each.address));
  erase_records(table, [&](const StoredRule& record) {
    const auto source = source_of(record);
    return is_of(record, owner) || (source && std::ranges::find(hosts, *source) != hosts.end());
  });
  ensure_chains(table);
  for (const Network& host : hosts) {
    table.ensure_appended(kForward, answers_to(host));
    table.ensure_appended(kForward, all_from(host));
    table.append(kRecords, record_for(owner, host));
  }
}

void remove_from(Table& table, const Owner& owner) {
  erase_records(table, [&](const StoredRule& record) { return is_of(record, owner); });
  delete_chains_if_unused(table);
}

void collect_from(Table& table, const std::string& network, const std::vector<Owner>& valid) {
  erase_records(table, [&](const StoredRule& record) {
    return is_of_network(record, network) &&
           std::ranges::none_of(valid, [&](const Owner& owner) { return is_of(record, owner); });
  });
  delete_chains_if_unused(table);
}

std::vector<std::string> differences_from(const Table& table, const Owner& owner,
                                          const std::vector<Network>& addresses) {
  std::vector<std::string> sentences;
  const auto require = [&](const std::string& chain, const Rule& rule) {
    if (table.has_rule(chain, rule)) return;
    sentences.push_back(fmt::format("{} rule of table filter is missing: -A {} {}",
                                    name(table.family()), chain, render(rule)));
  };
  require(kBuiltIn, forward_jump());
  require(kForward, admin_jump());
  for (const Network& each : addresses) {
    const Network host = Network::host(each.address);
    require(kForward, answers_to(host));
    require(kForward, all_from(host));
    require(kRecords, record_for(owner, host));
  }
  return sentences;
}

}  // namespace cni::forward_accept
