// Every list in conf-examples/ at work, two containers each.
#include "plugin/examples.h"

#include <fmt/format.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "support/plugin_run.h"
#include "support/sandbox.h"
#include "support/snapshot.h"
#include "support/two_namespaces.h"

namespace cni::test {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

Program cnictl(const Example& example, const std::vector<std::string>& words,
               const std::string& host, std::size_t index = 0) {
  Environment environment = plain_environment();
  environment["NETCONFPATH"] = kExamples;
  environment["CNI_PATH"] = plugin_directory();
  environment["CNI_IFNAME"] = example.ifname;
  environment["CAP_ARGS"] = example.cap_args.at(index);
  environment["CNI_ARGS"] = example.args.at(index);
  std::vector<std::string> argv = {plugin_directory() + "/cnictl"};
  argv.insert(argv.end(), words.begin(), words.end());
  return {.argv = argv, .environment = environment, .netns = host};
}

Outcome call(const Example& example, const std::string& verb, const Pair& pair, std::size_t index) {
  return run(cnictl(example,
                    {verb, example.network, pair.containers[index]->path(), "--container-id",
                     fmt::format("c{}", index), "--json"},
                    pair.host.path(), index));
}

void add_both(const Example& example, Pair& pair) {
  pair.results.clear();
  for (std::size_t index = 0; index < pair.containers.size(); ++index) {
    const Outcome added = call(example, "add", pair, index);
    INFO(added.text());
    REQUIRE(added.status == 0);
    CHECK(added.err.empty());
    pair.results.push_back(json::parse(added.out));
    CHECK(pair.addresses(index).size() == example.addresses);
  }
}

void call_both(const Example& example, const std::string& verb, const Pair& pair) {
  for (std::size_t index = 0; index < pair.containers.size(); ++index) {
    const Outcome outcome = call(example, verb, pair, index);
    INFO(verb << ": " << outcome.text());
    CHECK(outcome.status == 0);
    CHECK(outcome.err.empty());
  }
}

struct Snapshots {
  Snapshot host;
  std::vector<Snapshot> containers;

  static Snapshots take(const Pair& pair) {
    Snapshots all{.host = Snapshot::take(pair.host.path()), .containers = {}};
    for (const Namespace* each : pair.containers) {
      all.containers.push_back(Snapshot::take(each->path()));
    }
    return all;
  }
};

void check_same(const Snapshots& before, const Snapshots& after) {
  CHECK(difference(before.host, after.host) == "");
  for (std::size_t index = 0; index < before.containers.size(); ++index) {
    INFO("container " << index);
    CHECK(difference(before.containers[index], after.containers[index]) == "");
  }
}

// Reservations and cached results. What else host-local-ipam keeps is there by design.
std::vector<std::string> attachment_files(const Example& example) {
  std::vector<std::string> files;
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator("/var/lib/cni/results", absent)) {
    files.push_back(entry.path());
  }
  for (const auto& entry :
       fs::directory_iterator("/var/lib/cni/networks/" + example.network, absent)) {
    const std::string name = entry.path().filename();
    if (name != "lock" && !name.starts_with("last_reserved_ip.")) files.push_back(entry.path());
  }
  return files;
}

void run_example(const Example& example) {
  INFO(example.file);
  Host host;
  // The bridge plugin switches forwarding on for good.
  host.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
  if (example.prepare) example.prepare(host);
  Pair pair{.host = host,
            .containers = {&host.add_container("c1"), &host.add_container("c2")},
            .results = {}};
  // The addresses of loopback come with its first time up and some of them stay.
  for (const Namespace* container : pair.containers) {
    container->run("ip link set lo up");
    container->run("ip link set lo down");
  }
  const Snapshots before = Snapshots::take(pair);
  const auto files = attachment_files(example);

  const Outcome lint = run(cnictl(example, {"lint", kExamples + "/" + example.file}, ""));
  INFO(lint.text());
  CHECK(lint.status == 0);
  CHECK(lint.out == "1 file: 0 errors, 0 warnings, 0 hints\n");
  CHECK(run(cnictl(example, {"status", example.network}, host.path())).status == 0);
  add_both(example, pair);
  if (!example.shared.empty()) check_reach(pair);
  if (example.look) example.look(pair);
  call_both(example, "check", pair);
  call_both(example, "del", pair);
  CHECK(attachment_files(example) == files);
  // Again: it is no error, and there is nothing to do.
  call_both(example, "del", pair);
  for (const std::string& device : example.shared) {
    CHECK(host.has_link(device));
    host.run("ip link del " + device);
  }
  check_same(before, Snapshots::take(pair));
}

}  // namespace

TEST_CASE("every example is run", "[examples]") {
  std::set<std::string> run_here;
  for (const auto& examples : {plain_examples(), vlan_examples()}) {
    for (const Example& example : examples) run_here.insert(example.file);
  }
  std::set<std::string> there;
  for (const auto& entry : fs::directory_iterator(kExamples)) {
    const std::string name = entry.path().filename();
    if (name != "README.md" && name != "try") there.insert(name);
  }
  CHECK(run_here == there);
}

TEST_CASE("every example is explained", "[examples]") {
  const std::string readme = read_whole_file(kExamples + "/README.md");
  for (const auto& examples : {plain_examples(), vlan_examples()}) {
    for (const Example& example : examples) {
      CHECK(readme.find(fmt::format("| `{}` | `{}` |", example.file, example.network)) !=
            std::string::npos);
    }
  }
}

TEST_CASE("an example joins two containers and leaves nothing", "[examples][bridge][veth][ipv6]") {
  const Example example = GENERATE(from_range(plain_examples()));
  run_example(example);
}

TEST_CASE("an example with VLANs joins two containers and leaves nothing",
          "[examples][bridge][veth][bridge-vlan][vlan]") {
  const Example example = GENERATE(from_range(vlan_examples()));
  run_example(example);
}

TEST_CASE("a pod gets its address again", "[examples][bridge][veth]") {
  const auto examples = plain_examples();
  const Example& example =
      *std::ranges::find(examples, "sticky-addresses.conflist", &Example::file);
  Host host;
  example.prepare(host);
  Pair pair{.host = host,
            .containers = {&host.add_container("c1"), &host.add_container("c2")},
            .results = {}};
  add_both(example, pair);
  const auto addresses = std::vector{pair.addresses(0), pair.addresses(1)};
  call_both(example, "del", pair);
  // In the other order the first free address would be that of the other pod.
  for (const std::size_t index : {1U, 0U}) {
    const Outcome added = call(example, "add", pair, index);
    INFO(added.text());
    REQUIRE(added.status == 0);
    pair.results[index] = json::parse(added.out);
    CHECK(pair.addresses(index) == addresses[index]);
  }
  call_both(example, "del", pair);
}

}  // namespace cni::test
