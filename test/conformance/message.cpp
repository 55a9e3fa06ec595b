#include "message.h"

#include <sys/socket.h>

#include <array>

namespace conformance {

Message::Message(std::uint16_t type, std::uint16_t flags) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<std::uint16_t>(flags | NLM_F_REQUEST);
  append(&header, sizeof header);
}

Message& Message::append(const void* data, std::size_t size) {
  bytes_.append(static_cast<const char*>(data), size);
  bytes_.resize(NLMSG_ALIGN(bytes_.size()));
  return *this;
}

Message& Message::attribute(std::uint16_t type, std::string_view value) {
  const nlattr header{static_cast<std::uint16_t>(sizeof(nlattr) + value.size()), type};
  append(&header, sizeof header);
  return append(value.data(), value.size());
}

Message& Message::text(std::uint16_t type, std::string_view value) {
  return attribute(type, std::string(value) + '\0');
}

Message& Message::nest(std::uint16_t type, const std::function<void()>& fill) {
  const std::size_t start = bytes_.size();
  const nlattr header{sizeof(nlattr), type};
  append(&header, sizeof header);
  fill();
  const auto length = static_cast<std::uint16_t>(bytes_.size() - start);
  std::memcpy(bytes_.data() + start, &length, sizeof length);
  return *this;
}

const std::string& Message::bytes() {
  const auto length = static_cast<std::uint32_t>(bytes_.size());
  std::memcpy(bytes_.data(), &length, sizeof length);
  return bytes_;
}

std::vector<std::pair<std::uint16_t, std::string_view>> list_attributes(std::string_view bytes) {
  std::vector<std::pair<std::uint16_t, std::string_view>> list;
  while (bytes.size() >= sizeof(nlattr)) {
    const auto header = number_of<nlattr>(bytes);
    if (header.nla_len < sizeof(nlattr) || header.nla_len > bytes.size()) break;
    list.emplace_back(header.nla_type & NLA_TYPE_MASK,
                      bytes.substr(sizeof(nlattr), header.nla_len - sizeof(nlattr)));
    bytes.remove_prefix(std::min<std::size_t>(bytes.size(), NLA_ALIGN(header.nla_len)));
  }
  return list;
}

Attributes parse_attributes(std::string_view bytes) {
  Attributes attributes;
  for (const auto& [type, value] : list_attributes(bytes)) attributes[type] = value;
  return attributes;
}

NetlinkSocket::NetlinkSocket(int protocol)
    : socket_(check(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol),
                    "open a netlink socket")) {}

void NetlinkSocket::send(const std::string& bytes) {
  check(::send(socket_.get(), bytes.data(), bytes.size(), 0), "send a netlink message");
}

void NetlinkSocket::receive(
    const std::function<bool(const nlmsghdr&, std::string_view body)>& stop) {
  std::array<char, 1 << 18> buffer{};
  for (bool done = false; !done;) {
    std::string_view rest(buffer.data(),
                          static_cast<std::size_t>(check(
                              ::recv(socket_.get(), buffer.data(), buffer.size(), 0), "receive")));
    while (rest.size() >= sizeof(nlmsghdr)) {
      const auto header = number_of<nlmsghdr>(rest);
      done = stop(header, rest.substr(NLMSG_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN)) || done;
      rest.remove_prefix(std::min<std::size_t>(rest.size(), NLMSG_ALIGN(header.nlmsg_len)));
    }
  }
}

std::vector<NetlinkSocket::Reply> NetlinkSocket::dump(Message message) {
  send(message.bytes());
  std::vector<Reply> replies;
  int error = 0;
  receive([&](const nlmsghdr& header, std::string_view body) {
    if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_DONE) {
      error = body.size() >= sizeof(int) ? -number_of<int>(body) : 0;
      return true;
    }
    replies.push_back({header.nlmsg_type, std::string(body)});
    return false;
  });
  errno = error;
  check(error == 0 ? 0 : -1, "dump");
  return replies;
}

void NetlinkSocket::change(Message message, const std::string& attempt) {
  send(message.bytes());
  int error = 0;
  receive([&](const nlmsghdr& header, std::string_view body) {
    if (header.nlmsg_type == NLMSG_ERROR) error = -number_of<int>(body);
    return header.nlmsg_type == NLMSG_ERROR;
  });
  errno = error;
  check(error == 0 ? 0 : -1, attempt);
}

}  // namespace conformance
