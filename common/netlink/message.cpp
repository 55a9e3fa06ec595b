#include "netlink/message.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>

namespace cni::netlink {
namespace {

// Enough for nearly every request; a larger one grows.
constexpr std::size_t kUsualSize = 1024;

void require_fit(int attribute, std::size_t size) {
  if (size <= kMaxAttributePayload) return;
  throw std::length_error(
      fmt::format("netlink attribute {} of {} bytes is too long", attribute, size));
}

struct Attribute {
  int type;
  std::span<const std::byte> payload;
};

// Takes it off `rest`; nothing if there is none, or one whose length does not fit.
std::optional<Attribute> take_first(std::span<const std::byte>& rest) {
  const auto head = Attributes::read_header<nlattr>(rest);
  if (!head || head->nla_len < NLA_HDRLEN || head->nla_len > rest.size()) return std::nullopt;
  const Attribute first{.type = head->nla_type & NLA_TYPE_MASK,
                        .payload = rest.subspan(NLA_HDRLEN, head->nla_len - NLA_HDRLEN)};
  rest = rest.subspan(std::min<std::size_t>(NLA_ALIGN(head->nla_len), rest.size()));
  return first;
}

}  // namespace

std::uint8_t address_family(inet::Family family) {
  return family == inet::Family::kIpv4 ? AF_INET : AF_INET6;
}

void Message::Free::operator()(nl_msg* message) const {
  ::nlmsg_free(message);
}

// The types of rtnetlink(7) come in fours: new, delete, get, set.
Message::Message(std::uint16_t type, std::uint16_t flags)
    : message_(::nlmsg_alloc_size(kUsualSize)), question_(type % 4 == RTM_GETLINK % 4) {
  if (!message_ || ::nlmsg_put(message_.get(), NL_AUTO_PORT, NL_AUTO_SEQ, type, 0,
                               NLM_F_REQUEST | flags) == nullptr) {
    throw std::bad_alloc();
  }
}

Message::Message(const Netfilter& request, std::uint16_t flags)
    : Message(static_cast<std::uint16_t>(request.subsystem << 8 | request.message), flags) {
  question_ = request.question;
  put_header(nfgenmsg{
      .nfgen_family = request.family, .version = NFNETLINK_V0, .res_id = htons(request.resource)});
}

Message::Message(SocketQuestion /*tag*/, std::uint16_t flags)
    : Message(SOCK_DIAG_BY_FAMILY, flags) {
  question_ = true;
}

// Each of the flags of a dump means something else in a request that changes something.
bool Message::is_dump() const {
  return question_ && (header()->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
}

nlmsghdr* Message::header() {
  return ::nlmsg_hdr(message_.get());
}
const nlmsghdr* Message::header() const {
  return ::nlmsg_hdr(message_.get());
}

void Message::make_room(std::size_t bytes) {
  // nlmsg_expand() counts from the start of the message; room for one more attribute header and
  // its padding is included.
  const std::size_t needed = NLMSG_ALIGN(header()->nlmsg_len) + NLA_HDRLEN + NLA_ALIGN(bytes);
  const std::size_t present = ::nlmsg_get_max_size(message_.get());
  if (needed <= present) return;
  if (::nlmsg_expand(message_.get(), std::max(needed, present * 2)) != 0) throw std::bad_alloc();
}

void Message::append(std::span<const std::byte> bytes) {
  make_room(bytes.size());
  void* place = ::nlmsg_reserve(message_.get(), bytes.size(), NLMSG_ALIGNTO);
  if (place == nullptr) throw std::bad_alloc();
  std::memcpy(place, bytes.data(), bytes.size());
}

void Message::put_bytes(int attribute, std::span<const std::byte> payload) {
  require_fit(attribute, payload.size());
  make_room(payload.size());
  if (::nla_put(message_.get(), attribute, static_cast<int>(payload.size()), payload.data()) != 0) {
    throw std::bad_alloc();
  }
}

void Message::put_text(int attribute, const std::string& text) {
  if (text.find('\0') != std::string::npos) {
    throw std::invalid_argument(fmt::format("text of netlink attribute {} has a NUL", attribute));
  }
  put_bytes(attribute, std::as_bytes(std::span(text.c_str(), text.size() + 1)));
}

void Message::put_address(int attribute, const inet::Address& address) {
  const auto bytes = address.bytes();
  put_bytes(attribute,
            std::as_bytes(std::span(bytes).first(static_cast<std::size_t>(address.width()) / 8)));
}

void Message::put_mac(int attribute, const inet::Mac& mac) {
  put_bytes(attribute, std::as_bytes(std::span(mac.bytes())));
}

void Message::nest(int attribute, const std::function<void()>& content) {
  make_room(0);
  // An offset, since the message may move while it grows.
  const std::size_t start = NLMSG_ALIGN(header()->nlmsg_len);
  if (::nla_nest_start(message_.get(), attribute) == nullptr) throw std::bad_alloc();
  content();
  require_fit(attribute, header()->nlmsg_len - start - NLA_HDRLEN);
  auto* nest = reinterpret_cast<nlattr*>(reinterpret_cast<char*>(header()) + start);
  // Not nla_nest_end(): it takes an empty nest out, and to the kernel an empty one is one, too.
  ::nla_nest_end_keep_empty(message_.get(), nest);
}

Attributes Attributes::after_header(std::span<const std::byte> payload, std::size_t header_size) {
  const std::size_t offset = NLMSG_ALIGN(header_size);
  return offset > payload.size() ? Attributes() : Attributes(payload.subspan(offset));
}

void Attributes::for_each(
    const std::function<void(int attribute, std::span<const std::byte> payload)>& visit) const {
  std::span<const std::byte> rest = bytes_;
  while (const auto first = take_first(rest)) visit(first->type, first->payload);
}

std::optional<std::span<const std::byte>> Attributes::find(int attribute) const {
  std::span<const std::byte> rest = bytes_;
  while (const auto first = take_first(rest)) {
    if (first->type == attribute) return first->payload;
  }
  return std::nullopt;
}

std::string Attributes::text(int attribute) const {
  const auto payload = find(attribute);
  if (!payload) return {};
  const auto* begin = reinterpret_cast<const char*>(payload->data());
  return {begin, ::strnlen(begin, payload->size())};
}

std::optional<inet::Address> Attributes::find_address(int attribute) const {
  const auto payload = find(attribute);
  if (!payload) return std::nullopt;
  if (payload->size() == 4) return inet::Address::from_bytes(inet::Family::kIpv4, payload->data());
  if (payload->size() == 16) return inet::Address::from_bytes(inet::Family::kIpv6, payload->data());
  return std::nullopt;
}

Attributes Attributes::nested(int attribute) const {
  const auto payload = find(attribute);
  return payload ? Attributes(*payload) : Attributes();
}

}  // namespace cni::netlink
