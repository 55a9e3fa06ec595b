// Netlink messages, as far as the checks need them.
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "fd.h"

namespace conformance {

// A request that grows at its end.
class Message {
 public:
  Message(std::uint16_t type, std::uint16_t flags);

  template <typename Header>
  Message& header(const Header& header) {
    return append(&header, sizeof header);
  }
  Message& attribute(std::uint16_t type, std::string_view value);
  Message& text(std::uint16_t type, std::string_view value);  // with its final zero
  template <typename Number>
  Message& number(std::uint16_t type, Number value) {
    return attribute(type, {reinterpret_cast<const char*>(&value), sizeof value});
  }
  // What `fill` appends is inside the attribute.
  Message& nest(std::uint16_t type, const std::function<void()>& fill);
  template <typename Header>
  Message& raw(const Header& header) {
    return append(&header, sizeof header);
  }

  const std::string& bytes();

 private:
  Message& append(const void* data, std::size_t size);

  std::string bytes_;
};

// Attributes by type; a type that comes twice keeps its last value.
using Attributes = std::map<std::uint16_t, std::string_view>;
Attributes parse_attributes(std::string_view bytes);
// In their order, with repeated types.
std::vector<std::pair<std::uint16_t, std::string_view>> list_attributes(std::string_view bytes);

template <typename Number>
Number number_of(std::string_view bytes) {
  Number value{};
  std::memcpy(&value, bytes.data(), std::min(sizeof value, bytes.size()));
  return value;
}

// A socket of the network namespace in which it was opened.
class NetlinkSocket {
 public:
  explicit NetlinkSocket(int protocol);

  struct Reply {
    std::uint16_t type;
    std::string body;  // after the nlmsghdr
  };
  // All answers to a dump. Throws std::system_error.
  std::vector<Reply> dump(Message message);
  // One request that changes something. Throws std::system_error.
  void change(Message message, const std::string& attempt);
  void send(const std::string& bytes);
  // Reads messages until `stop` returns true for one.
  void receive(const std::function<bool(const nlmsghdr&, std::string_view body)>& stop);

 private:
  Fd socket_;
};

}  // namespace conformance
