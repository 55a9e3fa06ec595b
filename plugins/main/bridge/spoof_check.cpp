#include "spoof_check.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <set>
#include <span>
#include <utility>

#include "netfilter/native_table.h"
#include "netlink/message.h"
#include "nftables/nftables_socket.h"
#include "protocol/error.h"

namespace cni::bridge {
namespace {

using nftables::Batch;
using nftables::Bytes;
using nftables::Chain;
using nftables::Expression;
using nftables::Rule;
using nftables::Socket;
using nftables::TableId;
using nftables::Verdict;

constexpr const char* kMacSuffix = "-mac";
constexpr const char* kEntryChain = "PREROUTING";
constexpr std::int32_t kEntryPriority = -300;   // NF_BR_PRI_NAT_DST_BRIDGED
constexpr std::uint32_t kPrerouting = 0;        // NF_BR_PRE_ROUTING
constexpr std::size_t kLongestChainName = 255;  // NFT_NAME_MAXLEN less the final NUL
constexpr std::size_t kMostUserData = 256;      // NFT_USERDATA_MAXLEN
constexpr std::size_t kPieceHeader = 2;
// In the user data of the entry rule, for GC: which network it is. nft(8) passes over it.
constexpr std::uint8_t kNetworkPiece = 210;
constexpr std::uint32_t kSourceMacOffset = 6;  // of an Ethernet header
constexpr std::uint32_t kMacLength = 6;
constexpr int kAttempts = 50;

// The chains are:
//
//   PREROUTING                 iifname <port> jump cni-br-iface-<ID>
//   cni-br-iface-<ID>          jump cni-br-iface-<ID>-mac
//   cni-br-iface-<ID>-mac      ether saddr <MAC> return
//                              drop
struct Names {
  std::string port_chain;
  std::string mac_chain;
  std::string comment;

  static Names of(const Attachment& attachment) {
    const std::string id = fmt::format("{}-{}", attachment.container_id, attachment.ifname);
    const std::string port_chain = "cni-br-iface-" + id;
    return {.port_chain = port_chain,
            .mac_chain = port_chain + kMacSuffix,
            .comment = "macspoofchk-" + id};
  }
};

const TableId& bridge_table() {
  static const TableId table{.family = nftables::Family::kBridge, .name = "nat"};
  return table;
}

Chain entry_chain(const TableId& table) {
  return {
      .table = table,
      .name = kEntryChain,
      .hook = nftables::Hook{.type = "filter", .number = kPrerouting, .priority = kEntryPriority}};
}

Bytes mac_bytes(const inet::Mac& mac) {
  const auto bytes = std::as_bytes(std::span(mac.bytes()));
  return {bytes.begin(), bytes.end()};
}

Rule entry_rule(const TableId& table, const Names& names, const std::string& port) {
  using namespace nftables::expr;  // NOLINT(google-build-using-namespace)
  return {.table = table,
          .chain = kEntryChain,
          .expressions = {meta(Meta::kInInterfaceName, 0),
                          compare(Compare::kEqual, 0, nftables::padded_name(port)),
                          verdict({.kind = Verdict::Kind::kJump, .chain = names.port_chain})},
          .user_data = nftables::rule_comment(names.comment)};
}

std::vector<Rule> own_rules(const TableId& table, const Names& names, const inet::Mac& mac) {
  using namespace nftables::expr;  // NOLINT(google-build-using-namespace)
  const auto rule = [&](const std::string& chain, std::vector<Expression> expressions) {
    return Rule{.table = table,
                .chain = chain,
                .expressions = std::move(expressions),
                .user_data = nftables::rule_comment(names.comment)};
  };
  return {
      rule(names.port_chain, {verdict({.kind = Verdict::Kind::kJump, .chain = names.mac_chain})}),
      rule(names.mac_chain, {payload(Header::kLink, kSourceMacOffset, kMacLength, 0),
                             compare(Compare::kEqual, 0, mac_bytes(mac)),
                             verdict({.kind = Verdict::Kind::kReturn})}),
      rule(names.mac_chain, {verdict({.kind = Verdict::Kind::kDrop})})};
}

// Those of the entry chain that carry the comment, or jump to where those do.
std::vector<Rule> find_entry_rules(Socket& socket, const Names& names) {
  std::vector<Rule> rules = socket.list_rules(bridge_table(), kEntryChain);
  std::erase_if(rules, [&](const Rule& rule) {
    return rule.comment() != names.comment && rule.jump_target() != names.port_chain;
  });
  return rules;
}

// Commits what `fill` adds to a batch, which is nothing if there is nothing to do; then nothing is
// locked either. It looks again if somebody has changed anything since. Returns whether there was
// something to do.
bool commit(const std::string& attempt, const std::function<void(Socket&, Batch&)>& fill) {
  Socket socket = Socket::here();
  // Only keeps our own processes from getting in each other's way.
  std::optional<state::FileLock> lock;
  for (int at = 1; at <= kAttempts; ++at) {
    const std::uint32_t generation = socket.generation();
    Batch batch;
    fill(socket, batch);
    if (batch.empty()) return false;
    if (!lock) lock = netfilter::lock_native_tables();
    if (socket.try_commit(batch, attempt, {ERESTART}, generation) == 0) return true;
  }
  throw Busy(fmt::format("{}: other programs change the rules all the time", attempt));
}

void delete_chains(Batch& batch, Socket& socket, const std::string& port_name,
                   const std::string& mac_name) {
  const bool port_chain = socket.find_chain(bridge_table(), port_name).has_value();
  const bool mac_chain = socket.find_chain(bridge_table(), mac_name).has_value();
  // The rules first: those of one chain jump to the other one.
  if (port_chain) batch.flush_chain(bridge_table(), port_name);
  if (mac_chain) batch.flush_chain(bridge_table(), mac_name);
  if (port_chain) batch.delete_chain(bridge_table(), port_name);
  if (mac_chain) batch.delete_chain(bridge_table(), mac_name);
}

bool has_table() {
  std::optional<Socket> socket = Socket::find();
  return socket && socket->find_table(bridge_table()).has_value();
}

std::string network_mark(const std::string& network) {
  return attachment::OwnerMark::of({.network = network, .attachment = {}}).network;
}

// What an expression of a rule that was read says, of the kinds that these rules are made of.
netlink::Attributes find_expression(const Rule& rule, const std::string& name) {
  const auto found = std::ranges::find(rule.expressions, name, &Expression::name);
  return found == rule.expressions.end() ? netlink::Attributes() : found->parse();
}

Bytes compared_value(const Rule& rule) {
  const auto value = find_expression(rule, "cmp").nested(NFTA_CMP_DATA).find(NFTA_DATA_VALUE);
  return value ? Bytes(value->begin(), value->end()) : Bytes();
}

std::optional<std::int32_t> verdict_code(const Rule& rule) {
  const auto code = find_expression(rule, "immediate")
                        .nested(NFTA_IMMEDIATE_DATA)
                        .nested(NFTA_DATA_VERDICT)
                        .find_u32(NFTA_VERDICT_CODE);
  if (!code) return std::nullopt;
  return static_cast<std::int32_t>(ntohl(*code));
}

bool is_verdict(const Rule& rule, Verdict::Kind kind) {
  return verdict_code(rule) == static_cast<std::int32_t>(kind);
}

bool passes_mac(const Rule& rule, const inet::Mac& mac) {
  return compared_value(rule) == mac_bytes(mac) && is_verdict(rule, Verdict::Kind::kReturn);
}

bool drops_all(const Rule& rule) {
  return rule.expressions.size() == 1 && is_verdict(rule, Verdict::Kind::kDrop);
}

}  // namespace

void require_room_for_spoof_check(const Attachment& attachment) {
  const std::size_t length = Names::of(attachment).mac_chain.size();
  if (length <= kLongestChainName) return;
  throw Error(Code::kInvalidEnvironment,
              fmt::format("CNI_CONTAINERID and CNI_IFNAME are together {} bytes longer than the "
                          "rules of key \"macspoofchk\" have room for",
                          length - kLongestChainName));
}

void ensure_spoof_check(const attachment::Owner& owner, const std::string& port,
                        const inet::Mac& mac, Undo& undo) {
  const Names names = Names::of(owner.attachment);
  // Before the commit, whose answer may be lost. There is nothing that the undo could take from an
  // earlier life of the attachment: the port is new.
  undo.add("delete the MAC check",
           [attachment = owner.attachment] { delete_spoof_check_if_exists(attachment); });
  commit(fmt::format("add the MAC check of bridge port \"{}\"", port), [&](Socket& socket,
                                                                           Batch& batch) {
    const TableId& table = bridge_table();
    batch.ensure_table({.id = table});
    if (!socket.find_chain(table, kEntryChain)) batch.ensure_chain(entry_chain(table));
    for (const Rule& rule : find_entry_rules(socket, names)) {
      batch.delete_rule(table, kEntryChain, rule.handle);
    }
    for (const std::string& chain : {names.port_chain, names.mac_chain}) {
      batch.ensure_chain({.table = table, .name = chain});
      batch.flush_chain(table, chain);
    }
    for (const Rule& rule : own_rules(table, names, mac)) batch.append_rule(rule);
    Rule entry = entry_rule(table, names, port);
    const std::string network = network_mark(owner.network);
    if (entry.user_data.size() + kPieceHeader + network.size() <= kMostUserData) {
      nftables::append_user_data(entry.user_data, kNetworkPiece, std::as_bytes(std::span(network)));
    }
    batch.append_rule(entry);
  });
}

bool delete_spoof_check_if_exists(const Attachment& attachment) {
  const Names names = Names::of(attachment);
  if (names.mac_chain.size() > kLongestChainName) return false;  // cannot have been made
  if (!has_table()) return false;
  return commit("delete a MAC check", [&](Socket& socket, Batch& batch) {
    for (const Rule& rule : find_entry_rules(socket, names)) {
      batch.delete_rule(bridge_table(), kEntryChain, rule.handle);
    }
    delete_chains(batch, socket, names.port_chain, names.mac_chain);
  });
}

void collect_spoof_checks(const std::string& network, const std::vector<Attachment>& valid) {
  if (!has_table()) return;
  const std::string mark = network_mark(network);
  std::set<std::string> kept;
  for (const Attachment& attachment : valid) kept.insert(Names::of(attachment).comment);
  commit("delete the MAC checks of no valid attachment", [&](Socket& socket, Batch& batch) {
    for (const Rule& rule : socket.list_rules(bridge_table(), kEntryChain)) {
      const auto piece = nftables::find_user_data(rule.user_data, kNetworkPiece);
      if (!piece || !std::ranges::equal(*piece, std::as_bytes(std::span(mark)))) continue;
      if (kept.contains(rule.comment())) continue;
      batch.delete_rule(bridge_table(), kEntryChain, rule.handle);
      const std::string port_chain = rule.jump_target();
      delete_chains(batch, socket, port_chain, port_chain + kMacSuffix);
    }
  });
}

void check_spoof_check(const Attachment& attachment, const std::string& port, const inet::Mac& mac,
                       attachment::Differences& differences) {
  const Names names = Names::of(attachment);
  Socket socket = Socket::here();
  const std::vector<Rule> entries = find_entry_rules(socket, names);
  const bool enters = std::ranges::any_of(entries, [&](const Rule& rule) {
    return compared_value(rule) == nftables::padded_name(port) &&
           rule.jump_target() == names.port_chain;
  });
  const std::vector<Rule> port_rules = socket.list_rules(bridge_table(), names.port_chain);
  const std::vector<Rule> mac_rules = socket.list_rules(bridge_table(), names.mac_chain);
  const bool goes_on = port_rules.size() == 1 && port_rules[0].jump_target() == names.mac_chain;
  const bool decides =
      mac_rules.size() == 2 && passes_mac(mac_rules[0], mac) && drops_all(mac_rules[1]);
  if (enters && goes_on && decides) return;
  differences.add(
      fmt::format("the rules of nf_tables that check the MAC {} of bridge port \"{}\" are {}",
                  mac.text(), port, entries.empty() ? "missing" : "not complete"));
}

std::optional<std::string> find_spoof_check_obstacle() {
  // All that ADD makes, in a table of its own and with an end that is refused.
  const TableId table{.family = nftables::Family::kBridge, .name = "plumb-probe"};
  const Names names = Names::of({.container_id = "probe", .ifname = "eth0"});
  const nftables::Set set{.table = table, .name = "end", .key_length = 4};
  const std::vector<nftables::Element> element = {{.key = nftables::host_order(0)}};
  Batch batch;
  batch.ensure_table({.id = table});
  batch.ensure_chain(entry_chain(table));
  batch.ensure_chain({.table = table, .name = names.port_chain});
  batch.ensure_chain({.table = table, .name = names.mac_chain});
  for (const Rule& rule : own_rules(table, names, inet::Mac(std::vector<std::uint8_t>(6)))) {
    batch.append_rule(rule);
  }
  batch.append_rule(entry_rule(table, names, "probe"));
  batch.ensure_set(set);
  for (int time = 0; time < 2; ++time) batch.add_elements(set, element, /*exclusive=*/true);

  const std::string needs = "key \"macspoofchk\" needs nf_tables for bridges in the kernel";
  std::optional<Socket> socket = Socket::find();
  if (!socket) return needs + " (module nf_tables)";
  const int refusal =
      socket->try_commit(batch, "try the MAC check", {EEXIST, ENOENT, EOPNOTSUPP, EAFNOSUPPORT});
  if (refusal == EEXIST) return std::nullopt;
  return fmt::format("{} (modules nf_tables_bridge, nft_meta_bridge): {}", needs,
                     errno_text(refusal));
}

}  // namespace cni::bridge
