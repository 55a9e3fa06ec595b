// Servers that tell a client what they see of it, and clients that tell what became of a question.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "support/two_namespaces.h"

namespace cni::test {

enum class Protocol : std::uint8_t { kTcp, kUdp, kSctp };

// "tcp", "udp", "sctp", as in portMappings.
std::string name_of(Protocol protocol);

// The servers of a test case, in any namespaces: a socket belongs to the namespace it was made in,
// so one thread answers for all of them. They are gone at the end.
class EchoServers {
 public:
  EchoServers();
  EchoServers(const EchoServers&) = delete;
  EchoServers& operator=(const EchoServers&) = delete;
  ~EchoServers();

  // From its return on, a server of that name answers at `address` ("::" means IPv6 alone).
  // Throws std::system_error.
  void serve(const Namespace& where, const std::string& name, Protocol protocol,
             const std::string& address, std::uint16_t port);

  // At every address of both families.
  void serve_everywhere(const Namespace& where, const std::string& name, Protocol protocol,
                        std::uint16_t port);

  // Closes the sockets of that name, which keep their namespace alive.
  void stop(const std::string& name);

 private:
  struct Server {
    std::string name;
    Protocol protocol;
    int socket;
  };

  void answer_all();
  void wake() const;

  std::mutex mutex_;
  std::vector<Server> servers_;
  int wake_;
  bool done_ = false;
  std::thread thread_;
};

struct Question {
  std::string to;
  std::uint16_t port = 0;
  Protocol protocol = Protocol::kTcp;
  // The client's own address and port; empty and 0: the kernel's choice.
  std::string from = {};
  std::uint16_t from_port = 0;
  // A datagram is repeated until then.
  std::chrono::milliseconds limit = std::chrono::seconds(3);
};

struct Answer {
  // The name of the server that answered, else why none did: "refused", "silence" when the time
  // was over, or the kernel's words, for example "No route to host".
  std::string who;
  // The client as the server saw it.
  std::string address = {};
  std::uint16_t port = 0;

  // "<who> saw <address>", or `who` alone.
  std::string text() const;
};

Answer ask(const Namespace& from, const Question& question);

// Asks until someone answers, for links and addresses need a moment after they were made. Throws
// std::runtime_error if there is no answer within `limit`; that of the question has no meaning.
void wait_for_answer(const Namespace& from, const Question& question,
                     std::chrono::milliseconds limit = std::chrono::seconds(10));

}  // namespace cni::test
