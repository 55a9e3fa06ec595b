#include "netfilter.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include <fstream>

#include "message.h"

namespace conformance::netfilter {
namespace {

constexpr std::uint16_t nf_tables(int message) {
  return static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | message);
}

nfgenmsg family(std::uint8_t number) {
  return {.nfgen_family = number, .version = NFNETLINK_V0, .res_id = 0};
}

std::string text_of(const Attributes& attributes, std::uint16_t type) {
  const auto found = attributes.find(type);
  return found == attributes.end() ? ""
                                   : std::string(found->second.substr(0, found->second.find('\0')));
}

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

struct Object {
  std::uint8_t family;
  std::string body;
  Attributes attributes() const { return parse_attributes(std::string_view(body)); }
};

std::vector<Object> dump(Message request) {
  std::vector<Object> objects;
  for (auto& reply : NetlinkSocket(NETLINK_NETFILTER).dump(std::move(request))) {
    if (reply.type >> 8 != NFNL_SUBSYS_NFTABLES) continue;
    const auto header = number_of<nfgenmsg>(reply.body);
    objects.push_back({header.nfgen_family, reply.body.substr(NLMSG_ALIGN(sizeof(nfgenmsg)))});
  }
  return objects;
}

std::vector<Object> dump_all(int message) {
  return dump(Message(nf_tables(message), NLM_F_DUMP).header(family(NFPROTO_UNSPEC)));
}

// The expressions of a rule, without what counts packets.
std::string expressions(std::string_view list) {
  std::string text;
  for (const auto& [type, expression] : list_attributes(list)) {
    const Attributes parts = parse_attributes(expression);
    const std::string name = text_of(parts, NFTA_EXPR_NAME);
    const auto data = parts.find(NFTA_EXPR_DATA);
    text += " " + name;
    if (name != "counter" && data != parts.end()) text += ":" + hex(data->second);
  }
  return text;
}

void add_elements(const Object& set, std::multiset<std::string>& lines) {
  const Attributes attributes = set.attributes();
  const std::string table = text_of(attributes, NFTA_SET_TABLE);
  const std::string name = text_of(attributes, NFTA_SET_NAME);
  Message request(nf_tables(NFT_MSG_GETSETELEM), NLM_F_DUMP);
  request.header(family(set.family));
  request.text(NFTA_SET_ELEM_LIST_TABLE, table).text(NFTA_SET_ELEM_LIST_SET, name);
  for (const Object& part : dump(std::move(request))) {
    const Attributes listing = part.attributes();
    const auto elements = listing.find(NFTA_SET_ELEM_LIST_ELEMENTS);
    if (elements == listing.end()) continue;
    for (const auto& [type, element] : list_attributes(elements->second)) {
      lines.insert(fmt::format("element {} {} {} {}", set.family, table, name, hex(element)));
    }
  }
}

void add_nf_tables(std::multiset<std::string>& lines) {
  for (const Object& table : dump_all(NFT_MSG_GETTABLE)) {
    lines.insert(
        fmt::format("table {} {}", table.family, text_of(table.attributes(), NFTA_TABLE_NAME)));
  }
  for (const Object& chain : dump_all(NFT_MSG_GETCHAIN)) {
    const Attributes attributes = chain.attributes();
    lines.insert(fmt::format("chain {} {} {}", chain.family, text_of(attributes, NFTA_CHAIN_TABLE),
                             text_of(attributes, NFTA_CHAIN_NAME)));
  }
  for (const Object& rule : dump_all(NFT_MSG_GETRULE)) {
    const Attributes attributes = rule.attributes();
    const auto list = attributes.find(NFTA_RULE_EXPRESSIONS);
    lines.insert(fmt::format("rule {} {} {}{}", rule.family, text_of(attributes, NFTA_RULE_TABLE),
                             text_of(attributes, NFTA_RULE_CHAIN),
                             list == attributes.end() ? "" : expressions(list->second)));
  }
  for (const Object& set : dump_all(NFT_MSG_GETSET)) {
    const Attributes attributes = set.attributes();
    const auto flags = attributes.find(NFTA_SET_FLAGS);
    const bool anonymous =
        flags != attributes.end() &&
        (ntohl(number_of<std::uint32_t>(flags->second)) & NFT_SET_ANONYMOUS) != 0;
    if (anonymous) continue;  // part of a rule, under a name of the moment
    lines.insert(fmt::format("set {} {} {}", set.family, text_of(attributes, NFTA_SET_TABLE),
                             text_of(attributes, NFTA_SET_NAME)));
    add_elements(set, lines);
  }
}

template <typename Info>
void add_xtables(const char* names, int domain, int level, int option,
                 std::multiset<std::string>& lines) {
  std::ifstream tables(names);
  for (std::string name; std::getline(tables, name);) {
    const Fd socket(::socket(domain, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
    Info info{};
    socklen_t size = sizeof info;
    name.copy(info.name, sizeof info.name - 1);
    if (::getsockopt(socket.get(), level, option, &info, &size) != 0) continue;
    lines.insert(fmt::format("xtables {} {}: {} rules", level == SOL_IP ? 4 : 6, name,
                             static_cast<unsigned>(info.num_entries)));
  }
}

}  // namespace

std::multiset<std::string> rules() {
  std::multiset<std::string> lines;
  try {
    add_nf_tables(lines);
  } catch (const std::system_error&) {
    lines.clear();  // a kernel without nf_tables
  }
  add_xtables<ipt_getinfo>("/proc/thread-self/net/ip_tables_names", AF_INET, SOL_IP,
                           IPT_SO_GET_INFO, lines);
  add_xtables<ip6t_getinfo>("/proc/thread-self/net/ip6_tables_names", AF_INET6, SOL_IPV6,
                            IP6T_SO_GET_INFO, lines);
  return lines;
}

namespace {

void commit(Message& change, const std::string& attempt) {
  nfgenmsg batch = family(NFPROTO_UNSPEC);
  batch.res_id = htons(NFNL_SUBSYS_NFTABLES);
  NetlinkSocket socket(NETLINK_NETFILTER);
  const std::string bytes = Message(NFNL_MSG_BATCH_BEGIN, 0).header(batch).bytes() +
                            change.bytes() + Message(NFNL_MSG_BATCH_END, 0).header(batch).bytes();
  socket.send(bytes);
  int error = 0;
  socket.receive([&](const nlmsghdr& header, std::string_view body) {
    if (header.nlmsg_type == NLMSG_ERROR) error = -number_of<int>(body);
    return header.nlmsg_type == NLMSG_ERROR;
  });
  errno = error;
  check(error == 0 ? 0 : -1, attempt);
}

}  // namespace

bool flush_nf_tables() {
  if (dump_all(NFT_MSG_GETTABLE).empty()) return false;
  Message change(nf_tables(NFT_MSG_DELTABLE), NLM_F_ACK);
  commit(change.header(family(NFPROTO_UNSPEC)), "flush nf_tables");
  return true;
}

void add_foreign_table(const std::string& name) {
  Message change(nf_tables(NFT_MSG_NEWTABLE), NLM_F_ACK | NLM_F_CREATE);
  commit(change.header(family(NFPROTO_INET)).text(NFTA_TABLE_NAME, name), "add table " + name);
}

}  // namespace conformance::netfilter
