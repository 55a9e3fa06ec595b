// What CHECK is tried on: an attachment that has everything CHECK looks at, and ways to spoil it.
#pragma once

#include <catch2/catch.hpp>
#include <functional>
#include <string>
#include <vector>

#include "plugin/network.h"

namespace cni::test {

// `Base` is the network of a plugin; its container "c1" has addresses and routes of both families.
template <typename Base>
class CheckedNetwork : public Base {
 public:
  explicit CheckedNetwork(const Json& more = Json::object()) {
    this->config.update(more);
    this->give(
        {{"ips",
          {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
           {{"address", "fd00:1:2::5/64"}, {"gateway", "fd00:1:2::1"}}}},
         {"routes", {{{"dst", "10.9.0.0/16"}}, {{"dst", "fd00:9::/32"}, {"gw", "fd00:1:2::1"}}}}});
    attached = this->attachment("c1");
    // Link-local addresses shall not get their routes between two looks.
    set_sysctl(*attached.container, "net/ipv6/conf/default/accept_dad", "0");
    this->add(attached);
  }

  Attached attached;

  void in_container(const std::string& command) const { attached.container->run(command); }
  std::string outer() const { return host_end(attached.result); }
  // The container's link in the result.
  Json& inner() { return attached.result["interfaces"].back(); }
};

template <typename Net>
struct Difference {
  const char* name;
  std::function<void(Net&)> make;
  // Parts of the one sentence.
  std::vector<std::string> sentence;
};

// CHECK passes; with the difference it says that, says no more, and changes nothing.
template <typename Net>
void check_names(const Difference<Net>& difference, Net& net) {
  INFO(difference.name);
  net.check(net.attached);
  difference.make(net);
  const Snapshot host = net.snapshot();
  const Snapshot container = Snapshot::take(net.attached.container->path());
  const PluginOutcome outcome = net.run("CHECK", net.attached);
  INFO(outcome.text());
  CHECK(outcome.status == 1);
  CHECK(outcome.code() == 999);
  for (const std::string& part : difference.sentence) {
    CHECK_THAT(outcome.message(), Catch::Contains(part));
  }
  CHECK_THAT(outcome.message(), !Catch::Contains("; "));
  CHECK(cni::test::difference(host, net.snapshot()) == "");
  CHECK(cni::test::difference(container, Snapshot::take(net.attached.container->path())) == "");
}

}  // namespace cni::test
