// What a process has open, to find what a test case leaves so.
#pragma once

#include <set>
#include <string>

namespace cni::test {

// "NUMBER -> WHAT" of each descriptor (proc_pid_fd(5)), without the one that this reads with.
std::set<std::string> open_descriptors();

}  // namespace cni::test
