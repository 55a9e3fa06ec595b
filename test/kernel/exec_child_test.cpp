// What a child inherits and only the kernel can tell.
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <sstream>

#include "exec/child.h"
#include "support/sandbox.h"

using cni::test::FakePlugin;
using cni::test::TempDirectory;

namespace {

constexpr unsigned kCapability = CAP_NET_RAW;

// Makes CAP_NET_RAW of this thread inheritable and ambient, and neither at the end.
class InheritableCapability {
 public:
  InheritableCapability() {
    set(1U << kCapability);
    REQUIRE(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, kCapability, 0, 0) == 0);
  }
  InheritableCapability(const InheritableCapability&) = delete;
  InheritableCapability& operator=(const InheritableCapability&) = delete;
  ~InheritableCapability() { set(0); }

 private:
  static void set(std::uint32_t inheritable) {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    std::array<__user_cap_data_struct, 2> sets{};
    ::syscall(SYS_capget, &header, sets.data());
    sets[0].inheritable = inheritable;
    ::syscall(SYS_capset, &header, sets.data());
  }
};

// A line of /proc/<pid>/status.
std::string field(const std::string& status, const std::string& name) {
  std::istringstream lines(status);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(name + ":\t")) return line.substr(name.size() + 2);
  }
  return "";
}

}  // namespace

TEST_CASE("a child inherits no capabilities", "[exec]") {
  const TempDirectory directory;
  FakePlugin fake(directory.path(), "fake");
  const InheritableCapability capability;
  const std::string own = cni::test::read_whole_file("/proc/thread-self/status");
  REQUIRE(field(own, "CapInh") == "0000000000002000");
  REQUIRE(field(own, "CapAmb") == "0000000000002000");

  cni::exec::run_child(fake.path(), {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, "");

  REQUIRE(fake.calls().size() == 1);
  const std::string status = fake.calls()[0].process_status;
  CHECK(field(status, "CapInh") == "0000000000000000");
  CHECK(field(status, "CapAmb") == "0000000000000000");
  // The caller keeps its own.
  CHECK(field(cni::test::read_whole_file("/proc/thread-self/status"), "CapInh") ==
        "0000000000002000");
}
