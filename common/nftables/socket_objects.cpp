// Reads tables, chains, rules and sets.
#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>

#include <utility>

#include "nftables/nftables_socket.h"
#include "nftables/parse.h"
#include "nftables/question.h"

namespace cni::nftables {

using netlink::Answer;
using netlink::Message;

std::optional<Table> Socket::find_table(const TableId& table) {
  Message message = question(NFT_MSG_GETTABLE, table.family);
  message.put_text(NFTA_TABLE_NAME, table.name);
  for (const Answer& answer : ask(socket_, message, fmt::format("read table {}", table.text()))) {
    return parse_table(answer);
  }
  return std::nullopt;
}

std::vector<Table> Socket::list_tables(Family family) {
  Message message = question(NFT_MSG_GETTABLE, family, NLM_F_DUMP);
  std::vector<Table> tables;
  for (const Answer& answer : ask(socket_, message, "list the tables of nf_tables")) {
    if (family_of(answer) == family) tables.push_back(parse_table(answer));
  }
  return tables;
}

std::optional<Chain> Socket::find_chain(const TableId& table, const std::string& chain) {
  Message message = question(NFT_MSG_GETCHAIN, table.family);
  message.put_text(NFTA_CHAIN_TABLE, table.name);
  message.put_text(NFTA_CHAIN_NAME, chain);
  for (const Answer& answer :
       ask(socket_, message, fmt::format("read chain {} of table {}", chain, table.text()))) {
    return parse_chain(answer);
  }
  return std::nullopt;
}

std::vector<Chain> Socket::list_chains(Family family) {
  Message message = question(NFT_MSG_GETCHAIN, family, NLM_F_DUMP);
  std::vector<Chain> chains;
  for (const Answer& answer : ask(socket_, message, "list the chains of nf_tables")) {
    if (family_of(answer) == family) chains.push_back(parse_chain(answer));
  }
  return chains;
}

std::vector<Rule> Socket::list_rules(const TableId& table) {
  return list_rules(table, "");
}

std::vector<Rule> Socket::list_rules(const TableId& table, const std::string& chain) {
  Message message = question(NFT_MSG_GETRULE, table.family, NLM_F_DUMP);
  message.put_text(NFTA_RULE_TABLE, table.name);
  if (!chain.empty()) message.put_text(NFTA_RULE_CHAIN, chain);
  const std::string attempt = fmt::format("list the rules of table {}", table.text());
  std::vector<Rule> rules;
  for (const Answer& answer : ask(socket_, message, attempt)) {
    Rule rule = parse_rule(answer);
    // To tables, a rule without a handle is one that is still to be written.
    if (rule.handle == 0) throw netlink::KernelError(EPROTO, attempt);
    // Older kernels filter less.
    if (rule.table == table && (chain.empty() || rule.chain == chain)) {
      rules.push_back(std::move(rule));
    }
  }
  return rules;
}

bool Socket::has_set(const TableId& table, const std::string& set) {
  Message message = question(NFT_MSG_GETSET, table.family);
  message.put_text(NFTA_SET_TABLE, table.name);
  message.put_text(NFTA_SET_NAME, set);
  return !ask(socket_, message, fmt::format("read set {} of table {}", set, table.text())).empty();
}

std::vector<Set> Socket::list_sets(const TableId& table) {
  Message message = question(NFT_MSG_GETSET, table.family, NLM_F_DUMP);
  message.put_text(NFTA_SET_TABLE, table.name);
  std::vector<Set> sets;
  for (const Answer& answer :
       ask(socket_, message, fmt::format("list the sets of table {}", table.text()))) {
    Set set = parse_set(answer);
    if (set.table == table) sets.push_back(std::move(set));
  }
  return sets;
}

}  // namespace cni::nftables
