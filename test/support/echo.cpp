#include "support/echo.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace cni::test {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// How often a datagram is repeated.
constexpr milliseconds kRepeat{50};

[[noreturn]] void fail(const std::string& attempt) {
  throw std::system_error(errno, std::system_category(), attempt);
}

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&&) = delete;
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = sizeof(sockaddr_storage);

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

bool is_ipv6(const std::string& address) {
  return address.find(':') != std::string::npos;
}

SocketAddress socket_address(const std::string& address, std::uint16_t port) {
  SocketAddress result;
  int parsed = 0;
  if (is_ipv6(address)) {
    sockaddr_in6 ipv6{};
    ipv6.sin6_family = AF_INET6;
    ipv6.sin6_port = htons(port);
    parsed = ::inet_pton(AF_INET6, address.c_str(), &ipv6.sin6_addr);
    std::memcpy(&result.storage, &ipv6, sizeof(ipv6));
    result.length = sizeof(ipv6);
  } else {
    sockaddr_in ipv4{};
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = htons(port);
    parsed = ::inet_pton(AF_INET, address.c_str(), &ipv4.sin_addr);
    std::memcpy(&result.storage, &ipv4, sizeof(ipv4));
    result.length = sizeof(ipv4);
  }
  if (parsed != 1) throw std::invalid_argument(address + " is no address");
  return result;
}

// "<address> <port>"
std::string text_of(const SocketAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  std::uint16_t port = 0;
  if (address.storage.ss_family == AF_INET6) {
    sockaddr_in6 ipv6{};
    std::memcpy(&ipv6, &address.storage, sizeof(ipv6));
    ::inet_ntop(AF_INET6, &ipv6.sin6_addr, text.data(), text.size());
    port = ntohs(ipv6.sin6_port);
  } else {
    sockaddr_in ipv4{};
    std::memcpy(&ipv4, &address.storage, sizeof(ipv4));
    ::inet_ntop(AF_INET, &ipv4.sin_addr, text.data(), text.size());
    port = ntohs(ipv4.sin_port);
  }
  return std::string(text.data()) + " " + std::to_string(port);
}

Socket make_socket(Protocol protocol, bool ipv6) {
  const int type = protocol == Protocol::kUdp ? SOCK_DGRAM : SOCK_STREAM;
  const int number = protocol == Protocol::kTcp   ? IPPROTO_TCP
                     : protocol == Protocol::kUdp ? IPPROTO_UDP
                                                  : IPPROTO_SCTP;
  Socket socket(::socket(ipv6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, number));
  if (socket.get() < 0) fail("make a " + name_of(protocol) + " socket");
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (ipv6) {
    ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
  } else if (protocol == Protocol::kUdp) {
    ::setsockopt(socket.get(), IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
  }
  return socket;
}

void answer_stream(int listener, const std::string& name) {
  SocketAddress client;
  const Socket connection(::accept4(listener, client.get(), &client.length, SOCK_CLOEXEC));
  if (connection.get() < 0) return;  // The client is gone already.
  const std::string text = name + " " + text_of(client);
  ::send(connection.get(), text.data(), text.size(), MSG_NOSIGNAL);
}

// Answers come from the address that the question went to: a host has several.
void answer_datagram(int socket, const std::string& name) {
  SocketAddress client;
  std::array<char, 64> question{};
  alignas(cmsghdr) std::array<char, 64> control{};
  iovec part{question.data(), question.size()};
  msghdr message{};
  message.msg_name = client.get();
  message.msg_namelen = client.length;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (::recvmsg(socket, &message, 0) < 0) return;  // An ICMP error about an earlier answer.
  for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr;
       each = CMSG_NXTHDR(&message, each)) {
    // The way back is for the routing tables to tell.
    if (each->cmsg_level == IPPROTO_IP && each->cmsg_type == IP_PKTINFO) {
      const int any = 0;
      std::memcpy(CMSG_DATA(each) + offsetof(in_pktinfo, ipi_ifindex), &any, sizeof(any));
    }
    if (each->cmsg_level == IPPROTO_IPV6 && each->cmsg_type == IPV6_PKTINFO) {
      const unsigned any = 0;
      std::memcpy(CMSG_DATA(each) + offsetof(in6_pktinfo, ipi6_ifindex), &any, sizeof(any));
    }
  }
  std::string text = name + " " + text_of(client);
  part = {text.data(), text.size()};
  ::sendmsg(socket, &message, MSG_NOSIGNAL);
}

Answer parse_answer(const std::string& text) {
  Answer answer;
  std::istringstream words(text);
  words >> answer.who >> answer.address >> answer.port;
  return answer;
}

Answer failed(int error) {
  return {.who = error == ECONNREFUSED || error == ECONNRESET ? "refused" : ::strerror(error)};
}

bool would_block(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINPROGRESS || error == EINTR;
}

// Waits for `events`; false when the time is over.
bool wait_for(int socket, short events, Clock::time_point end) {
  pollfd polled{socket, events, 0};
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(end - Clock::now());
    if (left.count() <= 0) return false;
    const int count = ::poll(&polled, 1, static_cast<int>(left.count()));
    if (count > 0) return true;
    if (count < 0 && errno != EINTR) fail("poll a socket");
  }
}

// What the socket has to say by `end`: an answer, a failure, or nothing yet.
std::optional<Answer> receive(int socket, Clock::time_point end) {
  while (wait_for(socket, POLLIN, end)) {
    std::array<char, 256> buffer{};
    const ssize_t count = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (count > 0) return parse_answer({buffer.data(), static_cast<std::size_t>(count)});
    if (count == 0) return Answer{.who = "closed"};
    if (!would_block(errno)) return failed(errno);
  }
  return std::nullopt;
}

Answer ask_datagram(int socket, Clock::time_point end) {
  while (Clock::now() < end) {
    // An error here is that of an earlier datagram or of a rule on this host.
    if (::send(socket, "?", 1, MSG_NOSIGNAL) < 0 && !would_block(errno)) return failed(errno);
    const auto answer = receive(socket, std::min(end, Clock::now() + kRepeat));
    if (answer) return *answer;
  }
  return {.who = "silence"};
}

Answer ask_stream(int socket, Clock::time_point end) {
  if (!wait_for(socket, POLLOUT, end)) return {.who = "silence"};
  int error = 0;
  socklen_t length = sizeof(error);
  ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) return failed(error);
  return receive(socket, end).value_or(Answer{.who = "silence"});
}

}  // namespace

std::string name_of(Protocol protocol) {
  switch (protocol) {
    case Protocol::kTcp:
      return "tcp";
    case Protocol::kUdp:
      return "udp";
    case Protocol::kSctp:
      return "sctp";
  }
  return "?";
}

EchoServers::EchoServers() : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (wake_ < 0) fail("make an event descriptor");
  thread_ = std::thread([this] { answer_all(); });
}

EchoServers::~EchoServers() {
  {
    const std::lock_guard lock(mutex_);
    done_ = true;
  }
  wake();
  thread_.join();
  for (const Server& server : servers_) ::close(server.socket);
  ::close(wake_);
}

void EchoServers::serve(const Namespace& where, const std::string& name, Protocol protocol,
                        const std::string& address, std::uint16_t port) {
  Socket socket(-1);
  int made = -1;
  where.in([&] {
    Socket fresh = make_socket(protocol, is_ipv6(address));
    SocketAddress own = socket_address(address, port);
    const std::string what = name_of(protocol) + " " + address + " " + std::to_string(port);
    if (::bind(fresh.get(), own.get(), own.length) != 0) fail("bind to " + what);
    if (protocol != Protocol::kUdp && ::listen(fresh.get(), 64) != 0) fail("listen on " + what);
    made = fresh.release();
  });
  {
    const std::lock_guard lock(mutex_);
    servers_.push_back({.name = name, .protocol = protocol, .socket = made});
  }
  wake();
}

void EchoServers::serve_everywhere(const Namespace& where, const std::string& name,
                                   Protocol protocol, std::uint16_t port) {
  serve(where, name, protocol, "0.0.0.0", port);
  serve(where, name, protocol, "::", port);
}

void EchoServers::stop(const std::string& name) {
  const std::lock_guard lock(mutex_);
  std::erase_if(servers_, [&](const Server& server) {
    if (server.name == name) ::close(server.socket);
    return server.name == name;
  });
  wake();
}

void EchoServers::wake() const {
  const std::uint64_t one = 1;
  static_cast<void>(::write(wake_, &one, sizeof(one)) == sizeof(one));
}

void EchoServers::answer_all() {
  for (;;) {
    std::vector<pollfd> polled{{wake_, POLLIN, 0}};
    {
      const std::lock_guard lock(mutex_);
      if (done_) return;
      for (const Server& server : servers_) polled.push_back({server.socket, POLLIN, 0});
    }
    if (::poll(polled.data(), polled.size(), -1) < 0) continue;
    std::uint64_t count = 0;
    static_cast<void>(::read(wake_, &count, sizeof(count)) == sizeof(count));
    // Whoever was stopped meanwhile is not answered for: its number may be someone else's.
    const std::lock_guard lock(mutex_);
    for (const Server& server : servers_) {
      const auto ready = std::ranges::find_if(polled, [&](const pollfd& entry) {
        return entry.fd == server.socket && entry.revents != 0;
      });
      if (ready == polled.end()) continue;
      if (server.protocol == Protocol::kUdp) {
        answer_datagram(server.socket, server.name);
      } else {
        answer_stream(server.socket, server.name);
      }
    }
  }
}

std::string Answer::text() const {
  return address.empty() ? who : who + " saw " + address;
}

Answer ask(const Namespace& from, const Question& question) {
  const Clock::time_point end = Clock::now() + question.limit;
  Answer answer;
  from.in([&] {
    const bool ipv6 = is_ipv6(question.to);
    const Socket socket = make_socket(question.protocol, ipv6);
    if (!question.from.empty() || question.from_port != 0) {
      const std::string any = ipv6 ? "::" : "0.0.0.0";
      SocketAddress own =
          socket_address(question.from.empty() ? any : question.from, question.from_port);
      if (::bind(socket.get(), own.get(), own.length) != 0) fail("bind a client");
    }
    SocketAddress to = socket_address(question.to, question.port);
    if (::connect(socket.get(), to.get(), to.length) != 0 && !would_block(errno)) {
      answer = failed(errno);
      return;
    }
    answer = question.protocol == Protocol::kUdp ? ask_datagram(socket.get(), end)
                                                 : ask_stream(socket.get(), end);
  });
  return answer;
}

void wait_for_answer(const Namespace& from, const Question& question, milliseconds limit) {
  const Clock::time_point end = Clock::now() + limit;
  Answer answer;
  Question once = question;
  once.limit = milliseconds(100);
  do {
    answer = ask(from, once);
    if (!answer.address.empty()) return;
  } while (Clock::now() < end);
  throw std::runtime_error("nobody answers at " + question.to + " " +
                           std::to_string(question.port) + ": " + answer.who);
}

}  // namespace cni::test
