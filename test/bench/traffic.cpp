// Traffic to measure host ports with:
//
//   bench_traffic serve PORT                       accepts TCP, and sends UDP back
//   bench_traffic connect ADDRESS PORT SECONDS     prints connections a second
//   bench_traffic packets ADDRESS PORT SECONDS     prints UDP packets a second, there and back
//
// IPv4. The server prints a line when it is there, and ends with its parent.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <system_error>

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kBacklog = 1024;
constexpr int kWindow = 32;  // packets under way
constexpr timeval kPatience = {.tv_sec = 0, .tv_usec = 20'000};

int require(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

sockaddr_in endpoint(const char* address, const char* port) {
  sockaddr_in found{};
  found.sin_family = AF_INET;
  found.sin_port = htons(static_cast<in_port_t>(std::stoi(port)));
  if (::inet_pton(AF_INET, address, &found.sin_addr) != 1) throw std::runtime_error(address);
  return found;
}

const sockaddr* generic(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

int open_socket(int type) {
  return require(::socket(AF_INET, type | SOCK_CLOEXEC, 0), "socket");
}

// A reset leaves nothing behind that waits, so that ports do not run out.
void reset(int connection) {
  const linger at_once = {.l_onoff = 1, .l_linger = 0};
  ::setsockopt(connection, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  ::close(connection);
}

[[noreturn]] void echo(int datagrams) {
  std::array<char, 64> packet;
  while (true) {
    sockaddr_in from{};
    socklen_t length = sizeof from;
    const ssize_t size = ::recvfrom(datagrams, packet.data(), packet.size(), 0,
                                    reinterpret_cast<sockaddr*>(&from), &length);
    require(static_cast<int>(size), "recvfrom");
    ::sendto(datagrams, packet.data(), static_cast<std::size_t>(size), 0, generic(from), length);
  }
}

[[noreturn]] void serve(const char* port) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const sockaddr_in here = endpoint("0.0.0.0", port);
  const int datagrams = open_socket(SOCK_DGRAM);
  const int listener = open_socket(SOCK_STREAM);
  require(::bind(datagrams, generic(here), sizeof here), "bind UDP");
  require(::bind(listener, generic(here), sizeof here), "bind TCP");
  require(::listen(listener, kBacklog), "listen");
  std::puts("ready");
  std::fflush(stdout);
  if (require(::fork(), "fork") == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    echo(datagrams);
  }
  while (true) {
    const int connection = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) continue;
    // Until the other side resets it.
    char byte = 0;
    while (::recv(connection, &byte, 1, 0) > 0) {
    }
    ::close(connection);
  }
}

// How often `once` can be called a second.
double rate(const char* seconds, const auto& once) {
  const auto begin = Clock::now();
  const std::chrono::duration<double> wanted(std::stod(seconds));
  double done = 0;
  while (Clock::now() - begin < wanted) done += once();
  return done / std::chrono::duration<double>(Clock::now() - begin).count();
}

double connect_rate(const sockaddr_in& to, const char* seconds) {
  return rate(seconds, [&] {
    const int connection = open_socket(SOCK_STREAM);
    require(::connect(connection, generic(to), sizeof to), "connect");
    reset(connection);
    return 1;
  });
}

double packet_rate(const sockaddr_in& to, const char* seconds) {
  const int datagrams = open_socket(SOCK_DGRAM);
  require(::setsockopt(datagrams, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience),
          "SO_RCVTIMEO");
  require(::connect(datagrams, generic(to), sizeof to), "connect");
  std::array<char, 64> packet{};
  return rate(seconds, [&] {
    for (int sent = 0; sent < kWindow; ++sent) {
      require(static_cast<int>(::send(datagrams, packet.data(), packet.size(), 0)), "send");
    }
    int received = 0;
    while (received < kWindow && ::recv(datagrams, packet.data(), packet.size(), 0) > 0) ++received;
    return received;
  });
}

}  // namespace

int main(int count, char** arguments) {
  try {
    const std::string mode = count > 1 ? arguments[1] : "";
    if (mode == "serve" && count == 3) serve(arguments[2]);
    if (count != 5 || (mode != "connect" && mode != "packets")) return EXIT_FAILURE;
    const sockaddr_in to = endpoint(arguments[2], arguments[3]);
    const char* seconds = arguments[4];
    std::printf("%f\n", mode == "connect" ? connect_rate(to, seconds) : packet_rate(to, seconds));
    return EXIT_SUCCESS;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_traffic: %s\n", error.what());
    return EXIT_FAILURE;
  }
}
