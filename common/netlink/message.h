// Building requests and reading answers: a fixed header, then attributes of type, length and
// value (netlink(7)).
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "inet/address.h"
#include "inet/mac.h"

struct nl_msg;
struct nlmsghdr;

namespace cni::netlink {

// The length of an attribute is a 16-bit number and counts its own header of 4 bytes.
inline constexpr std::size_t kMaxAttributePayload = 65531;

// AF_INET or AF_INET6.
std::uint8_t address_family(inet::Family family);

// A request under construction. Every put throws std::length_error if an attribute, or a nest
// around it, would be longer than kMaxAttributePayload: its length would wrap around, and the
// kernel would read the rest as attributes of their own.
class Message {
 public:
  // `type` as in rtnetlink(7), `flags` besides NLM_F_REQUEST.
  Message(std::uint16_t type, std::uint16_t flags);

  // A request to a part of netfilter, with its fixed header (struct nfgenmsg).
  struct Netfilter {
    std::uint8_t subsystem;      // NFNL_SUBSYS_*, linux/netfilter/nfnetlink.h
    std::uint8_t message;        // of that subsystem
    std::uint8_t family;         // NFPROTO_*, linux/netfilter.h
    bool question;               // asks; otherwise it changes something
    std::uint16_t resource = 0;  // its res_id
  };
  Message(const Netfilter& request, std::uint16_t flags);

  // A question about sockets (sock_diag(7)), whose type is that of another message in rtnetlink.
  struct SocketQuestion {};
  Message(SocketQuestion, std::uint16_t flags);

  // Asks for something, and is answered by that or by an error; a change is acknowledged.
  bool is_question() const { return question_; }
  bool is_dump() const;

  // The fixed header that belongs to the message type, or to a nest that wants one.
  template <typename Header>
    requires std::is_trivially_copyable_v<Header>
  void put_header(const Header& header) {
    append(std::as_bytes(std::span(&header, 1)));
  }

  void put_bytes(int attribute, std::span<const std::byte> payload);
  void put_u8(int attribute, std::uint8_t value) { put_value(attribute, value); }
  void put_u16(int attribute, std::uint16_t value) { put_value(attribute, value); }
  void put_u32(int attribute, std::uint32_t value) { put_value(attribute, value); }
  void put_i32(int attribute, std::int32_t value) { put_value(attribute, value); }
  // A struct of the kernel's, or one number in the byte order it wants.
  template <typename Value>
    requires std::is_trivially_copyable_v<Value>
  void put_value(int attribute, const Value& value) {
    put_bytes(attribute, std::as_bytes(std::span(&value, 1)));
  }
  // With its final NUL. Throws std::invalid_argument if there is a NUL inside.
  void put_text(int attribute, const std::string& text);
  void put_address(int attribute, const inet::Address& address);
  void put_mac(int attribute, const inet::Mac& mac);

  // What `content` puts lies inside `attribute`.
  void nest(int attribute, const std::function<void()>& content);

  nlmsghdr* header();
  const nlmsghdr* header() const;

 private:
  struct Free {
    void operator()(nl_msg* message) const;
  };
  void append(std::span<const std::byte> bytes);
  void make_room(std::size_t bytes);

  std::unique_ptr<nl_msg, Free> message_;
  bool question_;
};

// The attributes in a stretch of an answer, which must outlive this. Nothing is believed: an
// attribute whose length does not fit ends the list, a value of the wrong size is absent.
class Attributes {
 public:
  Attributes() = default;
  explicit Attributes(std::span<const std::byte> bytes) : bytes_(bytes) {}

  // Those that follow a fixed header of `header_size` bytes.
  static Attributes after_header(std::span<const std::byte> payload, std::size_t header_size);

  std::optional<std::span<const std::byte>> find(int attribute) const;
  bool has(int attribute) const { return find(attribute).has_value(); }

  std::optional<std::uint8_t> find_u8(int attribute) const {
    return find_value<std::uint8_t>(attribute);
  }
  std::optional<std::uint16_t> find_u16(int attribute) const {
    return find_value<std::uint16_t>(attribute);
  }
  std::optional<std::uint32_t> find_u32(int attribute) const {
    return find_value<std::uint32_t>(attribute);
  }
  std::optional<std::int32_t> find_i32(int attribute) const {
    return find_value<std::int32_t>(attribute);
  }
  // Up to the first NUL; empty if absent.
  std::string text(int attribute) const;
  // By its size: 4 bytes are IPv4, 16 are IPv6.
  std::optional<inet::Address> find_address(int attribute) const;
  // Empty if absent.
  Attributes nested(int attribute) const;

  void for_each(
      const std::function<void(int attribute, std::span<const std::byte> payload)>& visit) const;

  template <typename Value>
    requires std::is_trivially_copyable_v<Value>
  std::optional<Value> find_value(int attribute) const {
    const auto payload = find(attribute);
    if (!payload) return std::nullopt;
    return read_value<Value>(*payload);
  }

  // Nothing if `bytes` has another size.
  template <typename Value>
    requires std::is_trivially_copyable_v<Value>
  static std::optional<Value> read_value(std::span<const std::byte> bytes) {
    if (bytes.size() != sizeof(Value)) return std::nullopt;
    return read_header<Value>(bytes);
  }

  // The first bytes of `bytes`; nothing if there are too few.
  template <typename Value>
    requires std::is_trivially_copyable_v<Value>
  static std::optional<Value> read_header(std::span<const std::byte> bytes) {
    if (bytes.size() < sizeof(Value)) return std::nullopt;
    Value value;
    __builtin_memcpy(&value, bytes.data(), sizeof value);
    return value;
  }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace cni::netlink
