#include "nftables/nftables_socket.h"

#include <endian.h>
#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <functional>

#include "base/grace_period.h"
#include "netlink/reply.h"
#include "nftables/encoding.h"
#include "nftables/parse.h"
#include "nftables/question.h"

namespace cni::nftables {
namespace {

using netlink::Answer;
using netlink::KernelError;
using netlink::Message;

Message batch_mark(std::uint8_t type) {
  // The subsystem of the batch's messages is in the header.
  Message message(type, 0);
  message.put_header(nfgenmsg{
      .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htobe16(NFNL_SUBSYS_NFTABLES)});
  return message;
}

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
    const bool is_last = &message == &batch.messages_.back();
    append(buffer, message, ++sequence, is_last ? NLM_F_ACK : 0);
  }
  const std::uint32_t last = sequence;
  append(buffer, batch_mark(NFNL_MSG_BATCH_END), last + 1);

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
  if (batch.removes()) grace_period::rules_were_removed();
  return {};
}

bool Socket::supports_xt_match(Family family, const std::string& name, std::uint32_t revision) {
  return supports_xt(socket_, family, name, revision, 0);
}

bool Socket::supports_xt_target(Family family, const std::string& name, std::uint32_t revision) {
  return supports_xt(socket_, family, name, revision, 1);
}

}  // namespace cni::nftables
