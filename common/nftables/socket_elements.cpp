// Reads the elements of sets.
#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>

#include <algorithm>
#include <utility>

#include "nftables/encoding.h"
#include "nftables/nftables_socket.h"
#include "nftables/parse.h"
#include "nftables/question.h"

namespace cni::nftables {
namespace {

using netlink::Answer;
using netlink::Message;

// How many questions are on the way at once: their answers have to fit into the socket's buffer.
constexpr std::size_t kQuestionsAtOnce = 16;
constexpr int kListRounds = 20;

Message element_question(const Set& set, std::uint16_t flags) {
  Message message = question(NFT_MSG_GETSETELEM, set.table.family, flags);
  message.put_text(NFTA_SET_ELEM_LIST_TABLE, set.table.name);
  message.put_text(NFTA_SET_ELEM_LIST_SET, set.name);
  return message;
}

Message key_question(const Set& set, const Bytes& key) {
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
  return message;
}

std::string about_elements(const Set& set) {
  return fmt::format("read the elements of set {} in table {}", set.name, set.table.text());
}

}  // namespace

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
      append(buffer, key_question(set, key), sequence++);
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
    require_answered(said.ends, attempt);
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

std::vector<Element> Socket::some_elements(const Set& set) {
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
  require_answered(said.ends, attempt);
  std::vector<Element> elements;
  for (const Answer& answer : said.answers) parse_elements(answer, elements);
  return elements;
}

}  // namespace cni::nftables
