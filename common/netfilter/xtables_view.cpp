#include "netfilter/xtables_view.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "netfilter/choose_store.h"

namespace cni::netfilter {
namespace {

using inet::Family;
using inet::kFamilies;

// The tables of xtables.
constexpr std::array<const char*, 5> kTables = {"nat", "filter", "mangle", "raw", "security"};

bool is_masquerade_chain(std::string_view name) {
  constexpr std::size_t kDigits = 24;
  return name.starts_with("CNI-") && name.size() == 4 + kDigits &&
         name.find_first_not_of("0123456789abcdef", 4) == std::string_view::npos;
}

nftables::TableId dialect_table(Family family, const std::string& table) {
  return {.family = nftables::table_family(family), .name = table};
}

}  // namespace

bool XtablesView::has_chain(const std::string& table, const std::string& chain) {
  return std::ranges::any_of(kFamilies,
                             [&](Family family) { return has_chain(family, table, chain); });
}

bool XtablesView::has_hint() {
  return has_chain("mangle", "KUBE-IPTABLES-HINT") || has_chain("mangle", "KUBE-KUBELET-CANARY");
}

bool XtablesView::has_attachments() {
  return std::ranges::any_of(kFamilies, [&](Family family) {
    return has_chain(family, "nat", "CNI-HOSTPORT-DNAT") || has_forward_rules(family) ||
           std::ranges::any_of(jump_targets(family, "nat", "POSTROUTING"), is_masquerade_chain);
  });
}

bool XtablesView::has_forward_rules(Family family) {
  return has_chain(family, "filter", "CNI-FORWARD") &&
         !has_chain(family, "filter", std::string(kOwnForwardMark));
}

DialectView::DialectView(nftables::Socket* socket) : socket_(socket) {
  if (socket == nullptr) return;
  for (const Family family : kFamilies) {
    for (const nftables::Table& table : socket->list_tables(nftables::table_family(family))) {
      tables_[family].insert(table.id.name);
    }
  }
}

bool DialectView::has_chain(Family family, const std::string& table, const std::string& chain) {
  return tables_[family].contains(table) &&
         socket_->find_chain(dialect_table(family, table), chain).has_value();
}

std::vector<std::string> DialectView::jump_targets(Family family, const std::string& table,
                                                   const std::string& chain) {
  std::vector<std::string> targets;
  if (!tables_[family].contains(table)) return targets;
  for (const nftables::Rule& rule : socket_->list_rules(dialect_table(family, table), chain)) {
    targets.push_back(rule.jump_target());
  }
  return targets;
}

bool DialectView::is_in_use() {
  return std::ranges::any_of(kFamilies, [&](Family family) {
    return std::ranges::any_of(kTables,
                               [&](const char* table) { return tables_[family].contains(table); });
  });
}

bool LegacyView::has_chain(Family family, const std::string& table, const std::string& chain) {
  const xtables::Table* found = find(family, table);
  return found != nullptr && found->has_chain(chain);
}

std::vector<std::string> LegacyView::jump_targets(Family family, const std::string& table,
                                                  const std::string& chain) {
  std::vector<std::string> targets;
  const xtables::Table* found = find(family, table);
  if (found == nullptr) return targets;
  for (const xtables::StoredRule& rule : found->rules(chain)) targets.push_back(rule.jump_target);
  return targets;
}

const xtables::Table* LegacyView::find(Family family, const std::string& table) {
  const auto [entry, is_new] = tables_.try_emplace({family, table});
  if (is_new) entry->second = store_->find(family, table);
  return entry->second.get();
}

}  // namespace cni::netfilter
