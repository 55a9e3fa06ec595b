// A part of a test case in a process of its own: for locks, for writers that race, and for what a
// process cannot take back.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>

namespace cni::test {

// Runs from its construction on, in the namespaces of the calling thread.
class Child {
 public:
  explicit Child(const std::function<std::string()>& function);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  // Kills it if nobody has waited for it.
  ~Child();

  pid_t pid() const { return pid_; }

  // What the function returned, or what its exception says; "signal <number>" if it was killed.
  std::string wait();

 private:
  pid_t pid_;
  int output_;
};

// The same at once.
std::string in_child(const std::function<std::string()>& function);

// From here on the kernel answers `error_number` to the system call `number` if its argument
// number `argument`, from 0, is `value`. Cannot be undone.
void deny_call(long number, unsigned argument, std::uint32_t value, int error_number);

}  // namespace cni::test
