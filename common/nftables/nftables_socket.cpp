#include "nftables/nftables_socket.h"

#include <endian.h>
#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>

#include "netlink/reply.h"
#include "nftables/encoding.h"

namespace cni::nftables {
namespace {

using netlink::Answer;
using netlink::Attributes;
using netlink::KernelError;
using netlink::Message;
using netlink::Outcome;

// How many questions are on the way at once: their answers have to fit into the socket's buffer.
constexpr std::size_t kQuestionsAtOnce = 16;
constexpr int kListRounds = 20;
constexpr std::uint32_t kNfDrop = 0;  // linux/netfilter.h

Message question(std::uint8_t message, Family family, std::uint16_t flags = 0) {
  return {Message::Netfilter{.subsystem = NFNL_SUBSYS_NFTABLES,
                             .message = message,
                             .family = static_cast<std::uint8_t>(family),
                             .question = true},
          flags};
}

Message batch_mark(std::uint8_t type) {
  // The subsystem of the batch's messages is in the header.
  Message message(type, 0);
  message.put_header(nfgenmsg{
      .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htobe16(NFNL_SUBSYS_NFTABLES)});
  return message;
}

void append(std::vector<std::byte>& buffer, Message& message, std::uint32_t sequence) {
  message.header()->nlmsg_seq = sequence;
  message.header()->nlmsg_pid = 0;  // the kernel fills in the port of the socket
  const auto* begin = reinterpret_cast<const std::byte*>(message.header());
  buffer.insert(buffer.end(), begin, begin + NLMSG_ALIGN(message.header()->nlmsg_len));
}

// Whether it says that what was asked for is not there.
bool is_absence(int error_number) {
  return error_number == ENOENT;
}

Attributes attributes_of(const Answer& answer) {
  return Attributes::after_header(answer.payload, sizeof(nfgenmsg));
}

Family family_of(const Answer& answer) {
  const auto header = Attributes::read_header<nfgenmsg>(answer.payload);
  return static_cast<Family>(header ? header->nfgen_family : 0);
}

Bytes bytes_in(const Attributes& attributes, int attribute) {
  const auto bytes = attributes.find(attribute);
  return bytes ? Bytes(bytes->begin(), bytes->end()) : Bytes();
}

Table parse_table(const Answer& answer) {
  const Attributes attributes = attributes_of(answer);
  return {.id = {family_of(answer), attributes.text(NFTA_TABLE_NAME)},
          .user_data = bytes_in(attributes, NFTA_TABLE_USERDATA)};
}

Chain parse_chain(const Answer& answer) {
  const Attributes attributes = attributes_of(answer);
  Chain chain{.table = {family_of(answer), attributes.text(NFTA_CHAIN_TABLE)},
              .name = attributes.text(NFTA_CHAIN_NAME),
              .use = find_be32(attributes, NFTA_CHAIN_USE).value_or(0)};
  if (attributes.has(NFTA_CHAIN_HOOK)) {
    const Attributes hook = attributes.nested(NFTA_CHAIN_HOOK);
    chain.hook =
        Hook{.type = attributes.text(NFTA_CHAIN_TYPE),
             .number = find_be32(hook, NFTA_HOOK_HOOKNUM).value_or(0),
             .priority = static_cast<std::int32_t>(find_be32(hook, NFTA_HOOK_PRIORITY).value_or(0)),
             .policy_drop = find_be32(attributes, NFTA_CHAIN_POLICY) == kNfDrop};
  }
  return chain;
}

Rule parse_rule(const Answer& answer) {
  const Attributes attributes = attributes_of(answer);
  Rule rule{.table = {family_of(answer), attributes.text(NFTA_RULE_TABLE)},
            .chain = attributes.text(NFTA_RULE_CHAIN),
            .expressions = {},
            .user_data = bytes_in(attributes, NFTA_RULE_USERDATA),
            .handle = be64toh(attributes.find_value<std::uint64_t>(NFTA_RULE_HANDLE).value_or(0))};
  attributes.nested(NFTA_RULE_EXPRESSIONS).for_each([&](int, std::span<const std::byte> payload) {
    const Attributes expression(payload);
    rule.expressions.push_back({.name = expression.text(NFTA_EXPR_NAME),
                                .attributes = bytes_in(expression, NFTA_EXPR_DATA)});
  });
  return rule;
}

Set parse_set(const Answer& answer) {
  const Attributes attributes = attributes_of(answer);
  const std::uint32_t flags = find_be32(attributes, NFTA_SET_FLAGS).value_or(0);
  Set set{.table = {family_of(answer), attributes.text(NFTA_SET_TABLE)},
          .name = attributes.text(NFTA_SET_NAME),
          .key_length = find_be32(attributes, NFTA_SET_KEY_LEN).value_or(0),
          .key_type = find_be32(attributes, NFTA_SET_KEY_TYPE).value_or(0),
          .interval = (flags & NFT_SET_INTERVAL) != 0,
          .constant = (flags & NFT_SET_CONSTANT) != 0,
          .user_data = bytes_in(attributes, NFTA_SET_USERDATA)};
  attributes.nested(NFTA_SET_DESC)
      .nested(NFTA_SET_DESC_CONCAT)
      .for_each([&](int, std::span<const std::byte> payload) {
        set.field_lengths.push_back(find_be32(Attributes(payload), NFTA_SET_FIELD_LEN).value_or(0));
      });
  if ((flags & NFT_SET_MAP) != 0) {
    const std::uint32_t type = find_be32(attributes, NFTA_SET_DATA_TYPE).value_or(0);
    set.data = type == NFT_DATA_VERDICT ? Set::Data::kVerdict : Set::Data::kValue;
    if (set.data == Set::Data::kValue) {
      set.data_type = type;
      set.data_length = find_be32(attributes, NFTA_SET_DATA_LEN).value_or(0);
    }
  }
  return set;
}

void parse_elements(const Answer& answer, std::vector<Element>& elements) {
  attributes_of(answer)
      .nested(NFTA_SET_ELEM_LIST_ELEMENTS)
      .for_each([&](int, std::span<const std::byte> payload) {
        const Attributes attributes(payload);
        const std::uint32_t flags = find_be32(attributes, NFTA_SET_ELEM_FLAGS).value_or(0);
        elements.push_back({.key = read_data(attributes, NFTA_SET_ELEM_KEY),
                            .key_end = read_data(attributes, NFTA_SET_ELEM_KEY_END),
                            .interval_end = (flags & NFT_SET_ELEM_INTERVAL_END) != 0,
                            .verdict = read_verdict(attributes, NFTA_SET_ELEM_DATA),
                            .value = read_data(attributes, NFTA_SET_ELEM_DATA),
                            .user_data = bytes_in(attributes, NFTA_SET_ELEM_USERDATA)});
      });
}

// Answers to a question; none if what it is about is not there.
std::vector<Answer> ask(netlink::Socket& socket, Message& message, const std::string& attempt) {
  Outcome outcome = socket.exchange(message, attempt);
  if (is_absence(outcome.error_number)) return {};
  if (outcome.error_number != 0) {
    throw KernelError(outcome.error_number, attempt, outcome.explanation);
  }
  return std::move(outcome.answers);
}

Message element_question(const Set& set, std::uint16_t flags) {
  Message message = question(NFT_MSG_GETSETELEM, set.table.family, flags);
  message.put_text(NFTA_SET_ELEM_LIST_TABLE, set.table.name);
  message.put_text(NFTA_SET_ELEM_LIST_SET, set.name);
  return message;
}

std::string about_elements(const Set& set) {
  return fmt::format("read the elements of set {} in table {}", set.name, set.table.text());
}

}  // namespace

Socket Socket::here() {
  return Socket(netlink::Socket::here(netlink::Protocol::kNetfilter));
}

std::optional<Socket> Socket::find() {
  try {
    Socket socket = here();
    Message message = question(NFT_MSG_GETGEN, Family::kIp4);
    // Without the subsystem nfnetlink answers EINVAL.
    const std::string attempt = "ask whether the kernel has nf_tables";
    const auto answer = socket.socket_.exchange(message, attempt);
    if (answer.error_number == 0) return socket;
    if (answer.error_number != EINVAL && answer.error_number != EOPNOTSUPP) {
      throw KernelError(answer.error_number, attempt, answer.explanation);
    }
  } catch (const SystemError& error) {
    // Without nfnetlink there is no such socket.
    if (error.number() != EPROTONOSUPPORT) throw;
  }
  return std::nullopt;
}

std::uint32_t Socket::generation() {
  Message message = question(NFT_MSG_GETGEN, Family::kIp4);
  const std::string attempt = "read the generation of the nf_tables rules";
  for (const Answer& answer : socket_.request(message, attempt)) {
    if (const auto id = find_be32(attributes_of(answer), NFTA_GEN_ID)) return *id;
  }
  throw KernelError(EPROTO, attempt);
}

void Socket::commit(const Batch& batch, const std::string& attempt,
                    std::optional<std::uint32_t> generation) {
  try_commit(batch, attempt, {}, generation);
}

int Socket::try_commit(const Batch& batch, const std::string& attempt,
                       std::initializer_list<int> refusals,
                       std::optional<std::uint32_t> generation) {
  if (batch.empty()) return 0;
  const netlink::Outcome outcome = transact(batch, attempt, generation);
  if (outcome.error_number == 0 ||
      std::ranges::find(refusals, outcome.error_number) != refusals.end()) {
    return outcome.error_number;
  }
  // The kernel has no words for this: nf_tables_api.c, nft_supported_family().
  const bool lacks_family =
      outcome.error_number == EOPNOTSUPP || outcome.error_number == EAFNOSUPPORT;
  throw KernelError(
      outcome.error_number, attempt,
      lacks_family && outcome.explanation.empty()
          ? "nf_tables of this kernel lacks a family or a kind of chain that this needs"
          : outcome.explanation);
}

netlink::Outcome Socket::transact(const Batch& batch, const std::string& attempt,
                                  std::optional<std::uint32_t> generation) {
  // The first and the last number of the exchange end it: the kernel refuses the whole batch with
  // the number of its begin, and acknowledges the last message only after the commit.
  const std::uint32_t first = socket_.reserve_sequence(batch.messages_.size() + 2);
  std::vector<std::byte> buffer;
  Message begin = batch_mark(NFNL_MSG_BATCH_BEGIN);
  if (generation) put_be32(begin, NFNL_BATCH_GENID, *generation);
  append(buffer, begin, first);
  std::uint32_t sequence = first;
  for (const Message& message : batch.messages_) {
    const auto* bytes = reinterpret_cast<const std::byte*>(message.header());
    const std::size_t at = buffer.size();
    buffer.insert(buffer.end(), bytes, bytes + NLMSG_ALIGN(message.header()->nlmsg_len));
    auto* header = reinterpret_cast<nlmsghdr*>(buffer.data() + at);
    header->nlmsg_seq = ++sequence;
    header->nlmsg_pid = 0;
    if (&message == &batch.messages_.back()) header->nlmsg_flags |= NLM_F_ACK;
  }
  const std::uint32_t last = sequence;
  Message end = batch_mark(NFNL_MSG_BATCH_END);
  append(buffer, end, last + 1);

  socket_.send(buffer, attempt);
  const netlink::Together said = socket_.receive(
      first, last,
      [&](const netlink::Together& so_far) {
        return !so_far.ends.empty() &&
               (so_far.ends.back().sequence == first || so_far.ends.back().sequence == last);
      },
      attempt);
  for (const netlink::Acknowledgement& one : said.ends) {
    if (one.error_number == 0) continue;
    return {.error_number = one.error_number, .explanation = one.explanation};
  }
  // Every message that is refused is answered, the first one first: there is room for that.
  if (said.lost) throw Busy(fmt::format("{}: the kernel's answer was lost", attempt));
  return {};
}

std::optional<Table> Socket::find_table(const TableId& table) {
  Message message = question(NFT_MSG_GETTABLE, table.family);
  message.put_text(NFTA_TABLE_NAME, table.name);
  for (const Answer& answer : ask(socket_, message, fmt::format("read table {}", table.text()))) {
    return parse_table(answer);
  }
  return std::nullopt;
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
  std::vector<Rule> rules;
  for (const Answer& answer :
       ask(socket_, message, fmt::format("list the rules of table {}", table.text()))) {
    Rule rule = parse_rule(answer);
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

std::optional<Element> Socket::find_element(const Set& set, const Bytes& key) {
  std::vector<Element> found = find_elements(set, std::span(&key, 1));
  if (found.empty()) return std::nullopt;
  return std::move(found.front());
}

std::vector<Element> Socket::find_elements(const Set& set, std::span<const Bytes> keys) {
  // A question for several keys ends at the first that is not there, so each is a question of its
  // own; they are sent together.
  std::vector<Element> elements;
  const std::string attempt = about_elements(set);
  std::size_t at_once = kQuestionsAtOnce;
  while (!keys.empty()) {
    const auto part = keys.first(std::min(keys.size(), at_once));
    const std::uint32_t first = socket_.reserve_sequence(part.size());
    std::vector<std::byte> buffer;
    std::uint32_t sequence = first;
    for (const Bytes& key : part) {
      Message message = element_question(set, NLM_F_ACK);
      message.nest(NFTA_SET_ELEM_LIST_ELEMENTS, [&] {
        message.nest(NFTA_LIST_ELEM, [&] {
          put_data(message, NFTA_SET_ELEM_KEY, key);
          // An interval in a key of several fields is looked for by both ends of a point.
          if (set.interval && !set.field_lengths.empty()) {
            put_data(message, NFTA_SET_ELEM_KEY_END, key);
          }
        });
      });
      append(buffer, message, sequence++);
    }
    socket_.send(buffer, attempt);
    const netlink::Together said = socket_.receive(
        first, sequence - 1,
        [&](const netlink::Together& so_far) { return so_far.ends.size() == part.size(); },
        attempt);
    if (said.lost) {
      if (at_once == 1) throw Busy(fmt::format("{}: the kernel's answer was lost", attempt));
      at_once /= 2;
      continue;
    }
    for (const netlink::Acknowledgement& one : said.ends) {
      if (one.error_number != 0 && !is_absence(one.error_number)) {
        throw KernelError(one.error_number, attempt, one.explanation);
      }
    }
    for (const Answer& answer : said.answers) parse_elements(answer, elements);
    keys = keys.subspan(part.size());
  }
  return elements;
}

std::vector<Element> Socket::list_elements(const Set& set) {
  const std::string attempt = about_elements(set);
  // The kernel writes a long list piece by piece, and goes on where the last piece ended by
  // counting from the start (nft_rhash_walk() in net/netfilter/nft_set_hash.c). When its hash table
  // grows in between, which it does in the background after many additions, elements have other
  // places: some come twice and as many not at all, without NLM_F_DUMP_INTR. A list without
  // duplicates is whole.
  for (int round = 0; round < kListRounds; ++round) {
    Message message = element_question(set, NLM_F_DUMP);
    std::vector<Element> elements;
    for (const Answer& answer : ask(socket_, message, attempt)) parse_elements(answer, elements);
    if (!has_duplicates(elements)) return elements;
  }
  throw Busy(fmt::format("{}: the list changed while it was read", attempt));
}

bool Socket::has_elements(const Set& set) {
  // A dump that is not read to its end keeps its socket busy.
  netlink::Socket own = netlink::Socket::here(netlink::Protocol::kNetfilter);
  Message message = element_question(set, NLM_F_DUMP);
  const std::string attempt = about_elements(set);
  const std::uint32_t number = own.reserve_sequence(1);
  std::vector<std::byte> buffer;
  append(buffer, message, number);
  own.send(buffer, attempt);
  const netlink::Together said = own.receive(
      number, number,
      [](const netlink::Together& so_far) {
        return !so_far.answers.empty() || !so_far.ends.empty();
      },
      attempt);
  if (said.answers.empty() && said.lost) {
    throw Busy(fmt::format("{}: the kernel's answer was lost", attempt));
  }
  for (const netlink::Acknowledgement& end : said.ends) {
    if (end.error_number != 0 && !is_absence(end.error_number)) {
      throw KernelError(end.error_number, attempt, end.explanation);
    }
  }
  std::vector<Element> elements;
  for (const Answer& answer : said.answers) parse_elements(answer, elements);
  return !elements.empty();
}

namespace {

bool supports_xt(netlink::Socket& socket, Family family, const std::string& name,
                 std::uint32_t revision, std::uint32_t type) {
  Message message(Message::Netfilter{.subsystem = NFNL_SUBSYS_NFT_COMPAT,
                                     .message = NFNL_MSG_COMPAT_GET,
                                     .family = static_cast<std::uint8_t>(family),
                                     .question = true},
                  0);
  message.put_text(NFTA_COMPAT_NAME, name);
  put_be32(message, NFTA_COMPAT_REV, revision);
  put_be32(message, NFTA_COMPAT_TYPE, type);
  return socket.exchange(message, fmt::format("ask for xt_{}", name)).error_number == 0;
}

}  // namespace

bool Socket::supports_xt_match(Family family, const std::string& name, std::uint32_t revision) {
  return supports_xt(socket_, family, name, revision, 0);
}

bool Socket::supports_xt_target(Family family, const std::string& name, std::uint32_t revision) {
  return supports_xt(socket_, family, name, revision, 1);
}

}  // namespace cni::nftables
