#include "masquerade/reference_table.h"

#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <cerrno>
#include <functional>

#include "base/digest.h"
#include "nftables/nftables_socket.h"

namespace cni::masquerade::reference {
namespace {

using netfilter::Owner;

constexpr const char* kChain = "masq_checks";
constexpr std::size_t kDigits = 16;
constexpr std::size_t kIdentityLength = 2 * kDigits + 1;
// The reference suite does not wait for others, so a rule may go between a look and a commit.
constexpr int kAttempts = 10;

nftables::TableId table() {
  return {.family = nftables::Family::kInet, .name = "cni_plugins_masquerade"};
}

std::string network_identity(const std::string& network) {
  return sha512_hex(network, kDigits) + "-";
}

// Deletes the rules for whose comment `condition` holds.
void remove_if(const std::function<bool(const std::string&)>& condition) {
  std::optional<nftables::Socket> found = nftables::Socket::find();
  if (!found) return;
  nftables::Socket& socket = *found;
  for (int left = kAttempts; left > 0; --left) {
    nftables::Batch batch;
    for (const nftables::Rule& rule : socket.list_rules(table(), kChain)) {
      if (condition(rule.comment())) batch.delete_rule(table(), kChain, rule.handle);
    }
    if (batch.empty()) return;
    const std::string attempt = "remove masquerading from table \"" + table().name + '"';
    if (left == 1) {
      socket.commit(batch, attempt);
    } else if (socket.try_commit(batch, attempt, {ENOENT}) == 0) {
      return;
    }
  }
}

// Whether an expression compares with the address.
bool compares_with(const nftables::Expression& expression, const inet::Address& address) {
  if (expression.name != "cmp") return false;
  const auto value = expression.parse().nested(NFTA_CMP_DATA).find(NFTA_DATA_VALUE);
  const nftables::Bytes bytes = nftables::bytes_of(address);
  return value && std::ranges::equal(*value, bytes);
}

}  // namespace

std::string identity(const Owner& owner) {
  return network_identity(owner.network) +
         sha512_hex(owner.ifname + ":" + owner.container_id, kDigits);
}

bool has(const Owner& owner, const inet::Address& address) {
  std::optional<nftables::Socket> socket = nftables::Socket::find();
  if (!socket) return false;
  const auto rules = socket->list_rules(table(), kChain);
  return std::ranges::any_of(rules, [&](const nftables::Rule& rule) {
    return rule.comment().starts_with(identity(owner)) &&
           std::ranges::any_of(rule.expressions, [&](const nftables::Expression& expression) {
             return compares_with(expression, address);
           });
  });
}

void remove(const Owner& owner) {
  remove_if([&](const std::string& comment) { return comment.starts_with(identity(owner)); });
}

void collect(const std::string& network, const std::vector<Owner>& valid) {
  remove_if([&](const std::string& comment) {
    return comment.size() >= kIdentityLength && comment.starts_with(network_identity(network)) &&
           std::ranges::none_of(
               valid, [&](const Owner& owner) { return comment.starts_with(identity(owner)); });
  });
}

}  // namespace cni::masquerade::reference
