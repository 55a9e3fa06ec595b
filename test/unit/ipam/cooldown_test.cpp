#include "host-local-ipam/cooldown.h"

#include <catch2/catch.hpp>

#include "support/sandbox.h"

using cni::host_local::Cooldown;
using cni::inet::Address;
using cni::state::DirectoryStore;
using cni::test::TempDirectory;
using namespace std::chrono_literals;

namespace {

Address number(unsigned at) {
  return Address::from_bits(cni::inet::Family::kIpv4, 0x0a000000U + at);
}

const auto kAny = [](const Address&) { return true; };

}  // namespace

TEST_CASE("released addresses come back in order", "[host-local]") {
  const TempDirectory root;
  const auto own = DirectoryStore::ensure(root.path(), 0755);
  const std::string boot = "00000000-0000-4000-8000-000000000001";
  for (unsigned at = 0; at < 5; ++at) {
    Cooldown cooldown(&own, boot);
    cooldown.push(number(at));
    cooldown.save(own);
  }
  {
    Cooldown cooldown(&own, boot);
    cooldown.drain(1h);
    CHECK(cooldown.cooling().contains(number(0)));
    cooldown.forget(number(1));
    CHECK(cooldown.take_oldest([](const Address& address) { return address != number(0); }) ==
          number(2));
    CHECK_FALSE(cooldown.cooling().contains(number(2)));
    cooldown.save(own);
  }
  SECTION("one by one") {
    Cooldown cooldown(&own, boot);
    CHECK(cooldown.take_oldest(kAny) == number(0));
    CHECK(cooldown.take_oldest(kAny) == number(3));
    CHECK(cooldown.take_oldest(kAny) == number(4));
    CHECK_FALSE(cooldown.take_oldest(kAny).has_value());
  }
  SECTION("when their time is over") {
    Cooldown cooldown(&own, boot);
    cooldown.drain(0ns);
    for (unsigned at = 0; at < 5; ++at) CHECK_FALSE(cooldown.cooling().contains(number(at)));
    cooldown.save(own);
    CHECK_FALSE(Cooldown(&own, boot).take_oldest(kAny).has_value());
  }
  SECTION("after a reboot at once") {
    Cooldown cooldown(&own, "00000000-0000-4000-8000-000000000002");
    CHECK_FALSE(cooldown.cooling().contains(number(0)));
    CHECK_FALSE(cooldown.take_oldest(kAny).has_value());
    cooldown.save(own);
    CHECK_FALSE(Cooldown(&own, boot).take_oldest(kAny).has_value());
  }
  SECTION("and the bits can be made again") {
    Cooldown cooldown(&own, boot);
    cooldown.cooling().clear();
    CHECK_FALSE(cooldown.cooling().contains(number(3)));
    cooldown.renew();
    CHECK(cooldown.cooling().contains(number(3)));
    CHECK_FALSE(cooldown.cooling().contains(number(2)));
  }
}

TEST_CASE("the queue does not grow for ever", "[host-local]") {
  const TempDirectory root;
  const auto own = DirectoryStore::ensure(root.path(), 0755);
  std::size_t longest = 0;
  for (unsigned at = 0; at < 12000; ++at) {
    Cooldown cooldown(&own, "b");
    cooldown.push(number(at));
    // A few always wait, so that it is never empty.
    if (at % 100 == 99) cooldown.drain(at % 1000 == 999 ? 0ns : 1ms);
    cooldown.save(own);
    longest = std::max(longest, own.read("queue", 64).size);
  }
  CHECK(longest < 9000U * 32U);
}
