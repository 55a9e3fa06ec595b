#include "delegation/ipam.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>

#include "protocol/error.h"
#include "support/sandbox.h"

using cni::Code;
using cni::Error;
using cni::Request;
using cni::Result;
using cni::Undo;
using cni::delegation::Ipam;
using cni::test::FakePlugin;
using cni::test::TempDirectory;

namespace {

// As in the real main.
const auto kIgnored = std::signal(SIGPIPE, SIG_IGN);

constexpr const char* kAnswer =
    R"({"cniVersion":"1.0.0","ips":[{"address":"10.1.2.5/24","gateway":"10.1.2.1"}],)"
    R"("routes":[{"dst":"0.0.0.0/0"}],"dns":{"domain":"a.b"}})";

Request request(const std::string& members, const std::string& path) {
  return {.command = cni::Command::kAdd,
          .environment = {.command = "ADD",
                          .container_id = "c1",
                          .netns = "/absent",
                          .ifname = "eth0",
                          .args = "",
                          .path = path,
                          .netns_override = false},
          .conf = cni::NetConf::parse(R"({"cniVersion":"1.0.0","name":"n","type":"main",)" +
                                      members + "}"),
          .version = cni::Version::k1_0_0,
          .netns = std::nullopt};
}

// A request whose IPAM plugin is a fake.
struct Network {
  explicit Network(const FakePlugin::Reply& add = {.out = kAnswer}) { fake.reply("ADD", add); }

  Ipam ipam() const { return Ipam::find(asked).value(); }
  std::vector<std::string> verbs() const {
    std::vector<std::string> verbs;
    for (const auto& call : fake.calls()) verbs.push_back(call.verb());
    return verbs;
  }
  // The code of the Error that ADD throws; the undo is over by then.
  Code add_failure() const {
    try {
      Undo undo;
      static_cast<void>(ipam().add(asked, undo));
      undo.commit();
    } catch (const Error& error) {
      return error.code();
    }
    FAIL("it succeeded");
    return {};
  }

  TempDirectory directory;
  FakePlugin fake{directory.path(), "fake"};
  Request asked = request(R"("x" : 1.0, "ipam":{"type":"fake","secret":"y"})", directory.path());
};

Code find_failure(const std::string& members, const std::string& path) {
  try {
    static_cast<void>(Ipam::find(request(members, path)));
  } catch (...) {
    return cni::to_error(std::current_exception()).code();
  }
  FAIL("found");
  return {};
}

using Strings = std::vector<std::string>;

}  // namespace

TEST_CASE("a network may have no IPAM plugin", "[delegation]") {
  for (const char* members : {R"("a":1)", R"("ipam":null)", R"("ipam":{})", R"("ipam":{"type":""})",
                              R"("ipam":{"type":null})"}) {
    CHECK_FALSE(Ipam::find(request(members, "")).has_value());
  }
}

TEST_CASE("an IPAM plugin that cannot be called", "[delegation]") {
  const TempDirectory directory;
  directory.write("main", "", 0755);
  directory.write("plain", "", 0644);
  CHECK(find_failure(R"("ipam":{"type":"absent"})", directory.path()) == Code::kInvalidConfig);
  CHECK(find_failure(R"("ipam":{"type":"plain"})", directory.path()) == Code::kInvalidConfig);
  CHECK(find_failure(R"("ipam":{"type":"../x"})", directory.path()) == Code::kInvalidConfig);
  CHECK(find_failure(R"("ipam":{"type":"main"})", "") == Code::kInvalidConfig);
  CHECK(find_failure(R"("ipam":{"type":"other"})", "") == Code::kInvalidEnvironment);
  CHECK(find_failure(R"("ipam":{"type":1})", directory.path()) == Code::kInvalidConfig);
  CHECK(find_failure(R"("ipam":"fake")", directory.path()) == Code::kInvalidConfig);
}

TEST_CASE("the calling plugin is not its own IPAM plugin", "[delegation]") {
  const TempDirectory directory;
  directory.write("main", "", 0755);
  CHECK(find_failure(R"("ipam":{"type":"main"})", directory.path()) == Code::kInvalidConfig);
}

TEST_CASE("ADD returns addresses, routes and DNS settings", "[delegation]") {
  const Network network;
  Undo undo;
  const Result result = network.ipam().add(network.asked, undo);
  undo.commit();
  REQUIRE(result.ips.size() == 1);
  CHECK(result.ips[0].address.text() == "10.1.2.5/24");
  CHECK(result.ips[0].gateway->text() == "10.1.2.1");
  CHECK(result.routes.size() == 1);
  CHECK(result.dns.domain == "a.b");
  CHECK(network.verbs() == Strings{"ADD"});
  CHECK(network.fake.calls()[0].input == network.asked.conf.text());
}

TEST_CASE("interfaces of an IPAM plugin mean nothing", "[delegation]") {
  const Network network(
      {.out = R"({"interfaces":[{"name":"x"}],"ips":[{"address":"10.1.2.5/24","interface":0}]})"});
  Undo undo;
  const Result result = network.ipam().add(network.asked, undo);
  undo.commit();
  CHECK(result.interfaces.empty());
  REQUIRE(result.ips.size() == 1);
  CHECK(result.ips[0].interface == std::nullopt);
}

TEST_CASE("a later failure of ADD releases the addresses", "[delegation]") {
  const Network network;
  {
    Undo undo;
    static_cast<void>(network.ipam().add(network.asked, undo));
    CHECK(network.verbs() == Strings{"ADD"});
  }
  CHECK(network.verbs() == Strings{"ADD", "DEL"});
  CHECK(network.fake.calls()[1].input == network.asked.conf.text());
}

TEST_CASE("addresses are released also if the IPAM plugin itself fails", "[delegation]") {
  SECTION("with an error") {
    const Network network({.out = R"({"code":11,"msg":"full"})", .status = 1});
    CHECK(network.add_failure() == Code::kTryAgainLater);
    CHECK(network.verbs() == Strings{"ADD", "DEL"});
  }
  SECTION("with nothing to say") {
    const Network network({.status = 1});
    CHECK(network.add_failure() == Code::kInternal);
    CHECK(network.verbs() == Strings{"ADD", "DEL"});
  }
  SECTION("by a signal") {
    const Network network({.out = kAnswer, .before = "kill -9 $$"});
    CHECK(network.add_failure() == Code::kInternal);
    CHECK(network.verbs() == Strings{"ADD", "DEL"});
  }
  SECTION("with an answer that cannot be used") {
    for (const char* answer :
         {"", "garbage", "{\"ips\":[", "{}", "null", R"({"cniVersion":"1.0.0"})",
          R"({"cniVersion":"7.0.0","ips":[{"address":"10.1.2.5/24"}]})",
          R"({"ips":[{"address":"10.1.2.5"}]})"}) {
      INFO(answer);
      const Network network({.out = answer});
      CHECK(network.add_failure() == Code::kInternal);
      CHECK(network.verbs() == Strings{"ADD", "DEL"});
    }
  }
}

TEST_CASE("an IPAM plugin that returns no address is an error", "[delegation]") {
  const Network network({.out = R"({"cniVersion":"1.0.0","routes":[{"dst":"0.0.0.0/0"}]})"});
  Undo undo;
  CHECK_THROWS_WITH(network.ipam().add(network.asked, undo),
                    "IPAM plugin returned missing IP config");
}

TEST_CASE("a failing release does not hide why ADD failed", "[delegation]") {
  Network network({.out = R"({"code":11,"msg":"full"})", .status = 1});
  network.fake.reply("DEL", {.out = R"({"code":7,"msg":"no"})", .status = 1});
  CHECK(network.add_failure() == Code::kTryAgainLater);
  CHECK(network.verbs() == Strings{"ADD", "DEL"});
}

TEST_CASE("the other commands are handed on, and their errors back", "[delegation]") {
  Network network;
  const Ipam ipam = network.ipam();
  ipam.check(network.asked);
  ipam.status(network.asked);
  ipam.gc(network.asked);
  ipam.del(network.asked);
  CHECK(network.verbs() == Strings{"CHECK", "STATUS", "GC", "DEL"});
  for (const auto& call : network.fake.calls()) CHECK(call.input == network.asked.conf.text());

  network.fake.reply_to_all({.out = R"({"code":50,"msg":"no addresses left"})", .status = 1});
  CHECK_THROWS_WITH(ipam.check(network.asked), "no addresses left");
  CHECK_THROWS_WITH(ipam.status(network.asked), "no addresses left");
  CHECK_THROWS_WITH(ipam.gc(network.asked), "no addresses left");
  CHECK_THROWS_WITH(ipam.del(network.asked), "no addresses left");
}

TEST_CASE("a plugin is called where it was found", "[delegation]") {
  // What happens to CNI_PATH later makes no difference to the undo.
  Network network;
  const Ipam ipam = network.ipam();
  network.asked.environment.path = "/absent";
  ipam.del(network.asked);
  CHECK(network.verbs() == Strings{"DEL"});
}

TEST_CASE("addresses are released after what has them, by dhcp before", "[delegation]") {
  const std::string type = GENERATE("static", "dhcp");
  const TempDirectory directory;
  const FakePlugin fake(directory.path(), type);
  const Request asked = request(R"("ipam":{"type":")" + type + R"("})", directory.path());
  std::optional<std::size_t> released_before;
  cni::BestEffort cleanup;
  SECTION("and both are tried") {
    Ipam::release_after([&] { released_before = fake.calls().size(); }, asked, cleanup);
    CHECK(released_before == (type == "dhcp" ? 1U : 0U));
    CHECK(fake.calls().size() == 1);
    cleanup.finish();
  }
  SECTION("also when one fails") {
    const auto fail = [] { throw Error(Code::kInternal, "no"); };
    Ipam::release_after([&] { cleanup.run("remove it", fail); }, asked, cleanup);
    CHECK(fake.calls().size() == 1);
    CHECK_THROWS_WITH(cleanup.finish(), "no");
  }
}

TEST_CASE("a plugin does not take itself for its IPAM plugin", "[delegation]") {
  const TempDirectory directory;
  const std::string own = ::program_invocation_short_name;
  const FakePlugin fake(directory.path(), own);
  CHECK(find_failure(R"("ipam":{"type":"main"})", directory.path()) == Code::kInvalidConfig);
  CHECK(find_failure(R"("ipam":{"type":")" + own + R"("})", directory.path()) ==
        Code::kInvalidConfig);
  CHECK(fake.calls().empty());
}

TEST_CASE("the undo of an ADD has what is left of its time", "[delegation]") {
  Network network({.before = "exec sleep 60"});
  network.fake.reply("DEL", {.before = "exec sleep 60"});
  ::setenv("CNI_DELEGATE_TIMEOUT", "3", 1);
  const auto begin = std::chrono::steady_clock::now();
  CHECK(network.add_failure() == Code::kTryAgainLater);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
  ::unsetenv("CNI_DELEGATE_TIMEOUT");
  CHECK(network.verbs() == Strings{"ADD", "DEL"});
}

TEST_CASE("without IPAM there is nothing to release", "[delegation]") {
  bool removed = false;
  cni::BestEffort cleanup;
  Ipam::release_after([&] { removed = true; }, request(R"("a":1)", ""), cleanup);
  CHECK(removed);
  cleanup.finish();
}
