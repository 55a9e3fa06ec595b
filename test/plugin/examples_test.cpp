// Every list in conf-examples/ at work, two containers each, and conf-examples/try itself.
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "support/echo.h"
#include "support/plugin_run.h"
#include "support/sandbox.h"
#include "support/snapshot.h"
#include "support/two_namespaces.h"

namespace cni::test {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

const std::string kExamples = CNI_SOURCE_DIRECTORY "/conf-examples";

// Two containers in a network, with the results of their ADDs.
struct Pair {
  Host& host;
  const std::vector<Namespace*> containers;
  std::vector<json> results;

  // Of container `index`, without prefix lengths.
  std::vector<std::string> addresses(std::size_t index) const {
    std::vector<std::string> all;
    for (const json& ip : results.at(index).value("ips", json::array())) {
      const auto cidr = ip.at("address").get<std::string>();
      all.push_back(cidr.substr(0, cidr.find('/')));
    }
    return all;
  }
};

struct Example {
  std::string file;
  std::string network;
  // Devices of the host that stay, since the next container needs them too.
  std::vector<std::string> shared;
  std::string ifname = "eth0";
  // CAP_ARGS and CNI_ARGS of each container.
  std::vector<std::string> cap_args = {"", ""};
  std::vector<std::string> args = {"", ""};
  // How many addresses each container gets.
  std::size_t addresses = 1;
  // Before the first ADD.
  std::function<void(Host& host)> prepare = {};
  // With both attached; adds what is particular to this list. Whatever it makes in the containers
  // it removes.
  std::function<void(const Pair& pair)> look = {};
};

bool pings(const Namespace& from, const std::string& address) {
  const Program ping{.argv = {"ping", "-n", "-c", "1", "-W", "2", address}, .netns = from.path()};
  return run(ping).status == 0;
}

json link_of(const Namespace& in, const std::string& name) {
  return json::parse(in.run("ip -d -j link show dev " + name)).at(0);
}

// Gives both containers an address on `device`, sees whether they reach each other, and takes the
// addresses away.
bool join_by_hand(const Pair& pair, const std::string& device) {
  pair.containers[0]->run("ip address add 10.99.0.1/24 dev " + device);
  pair.containers[1]->run("ip address add 10.99.0.2/24 dev " + device);
  const bool joined = pings(*pair.containers[0], "10.99.0.2");
  for (const Namespace* container : pair.containers) {
    container->run("ip address flush dev " + device);
  }
  return joined;
}

bool join_by_vlan(const Pair& pair, const std::string& vlan) {
  for (const Namespace* container : pair.containers) {
    container->run("ip link add link eth0 name tagged type vlan id " + vlan);
    container->run("ip link set tagged up");
  }
  const bool joined = join_by_hand(pair, "tagged");
  for (const Namespace* container : pair.containers) container->run("ip link del tagged");
  return joined;
}

// Each container and the host reach every address.
void check_reach(const Pair& pair) {
  for (const std::size_t index : {0U, 1U}) {
    for (const std::string& address : pair.addresses(index)) {
      INFO("container " << index << " at " << address);
      CHECK(pings(*pair.containers[1 - index], address));
      CHECK(pings(pair.host, address));
    }
    for (const json& ip : pair.results[index].value("ips", json::array())) {
      if (!ip.contains("gateway")) continue;
      INFO("gateway " << ip.at("gateway"));
      CHECK(pings(*pair.containers[index], ip.at("gateway")));
    }
  }
}

std::vector<Example> plain_examples() {
  return {
      {.file = "bridge.conflist", .network = "bridge", .shared = {"cni-bridge"}},
      {.file = "10-containerd-net.conflist",
       .network = "containerd-net",
       .shared = {"cni0"},
       .addresses = 2,
       .look =
           [](const Pair& pair) {
             CHECK(link_of(pair.host, "cni0").at("promiscuity") != 0);
             CHECK(pair.containers[0]->run("ip -6 route show default").find("via fd00:88::1") !=
                   std::string::npos);
           }},
      {.file = "11-crio-bridge.conflist",
       .network = "crio",
       .shared = {"cni0"},
       .addresses = 2,
       .look =
           [](const Pair& pair) {
             const std::string port = pair.results[0].at("interfaces").at(1).at("name");
             CHECK(link_of(pair.host, port).at("linkinfo").at("info_slave_data").at("hairpin") ==
                   true);
             CHECK(pair.containers[0]->run("ip route show default").find("via 10.85.0.1") !=
                   std::string::npos);
           }},
      {.file = "nerdctl-bridge.conflist",
       .network = "nerdctl",
       .shared = {"nerdctl0"},
       .cap_args =
           {R"({"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "udp"}]})",
            ""},
       .look =
           [](const Pair& pair) {
             EchoServers servers;
             servers.serve_everywhere(*pair.containers[0], "c1", Protocol::kUdp, 80);
             const Question question{.to = "127.0.0.1", .port = 8080, .protocol = Protocol::kUdp};
             CHECK(ask(pair.host, question).text() == "c1 saw 10.4.0.1");
           }},
      {.file = "dual-stack.conflist",
       .network = "dual-stack",
       .shared = {"cni-dual"},
       .addresses = 2,
       .look =
           [](const Pair& pair) {
             CHECK(pair.addresses(0).at(0).starts_with("10.21.0."));
             CHECK(pair.addresses(0).at(1).starts_with("fd00:21::"));
           }},
      {.file = "ipv6-only.conflist",
       .network = "ipv6-only",
       .shared = {"cni-ipv6"},
       .look =
           [](const Pair& pair) {
             CHECK(pair.addresses(0).at(0).starts_with("fd00:22::"));
             CHECK(pair.containers[0]->run("ip -4 address show dev eth0").empty());
           }},
      {.file = "several-ranges.conflist",
       .network = "several-ranges",
       .shared = {"cni-ranges"},
       .addresses = 2,
       .look =
           [](const Pair& pair) {
             CHECK(pair.addresses(0) == std::vector<std::string>{"10.23.0.10", "10.24.0.1"});
             CHECK(pair.addresses(1) == std::vector<std::string>{"10.23.0.11", "10.24.0.2"});
             const std::string routes = pair.containers[0]->run("ip route show");
             CHECK(routes.find("default via 10.23.0.1 ") != std::string::npos);
             CHECK(routes.find("10.0.0.0/8 via 10.24.0.254 ") != std::string::npos);
           }},
      {.file = "static-address.conflist",
       .network = "static-address",
       .shared = {"cni-static"},
       .cap_args = {R"({"ips": ["10.25.0.77"], "mac": "02:00:00:00:00:77"})", ""},
       .look =
           [](const Pair& pair) {
             CHECK(pair.addresses(0).at(0) == "10.25.0.77");
             CHECK(link_of(*pair.containers[0], "eth0").at("address") == "02:00:00:00:00:77");
             // Nobody asked for one.
             CHECK(pair.addresses(1).at(0) != "10.25.0.77");
           }},
      {.file = "sticky-addresses.conflist",
       .network = "sticky-addresses",
       .shared = {"cni-sticky"},
       .args = {"IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=db-0",
                "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=db-1"},
       .prepare =
           [](Host& host) {
             host.run("ip link add uplink mtu 1400 type veth peer name beyond");
             // Link-local addresses would come when the kernel has looked for duplicates.
             host.run("ip link set uplink addrgenmode none");
             host.run("ip link set beyond addrgenmode none");
             host.run("ip address add 192.168.77.1/24 dev uplink");
             host.run("ip link set beyond up");
             host.run("ip link set uplink up");
             host.run("ip route add default via 192.168.77.2");
           },
       .look =
           [](const Pair& pair) {
             // The range starts with reserved ones.
             CHECK(pair.addresses(0).at(0) == "10.26.0.10");
             CHECK(link_of(*pair.containers[0], "eth0").at("mtu") == 1400);
           }},
      {.file = "veth.conflist",
       .network = "veth",
       .shared = {},
       .addresses = 2,
       .look =
           [](const Pair& pair) {
             check_reach(pair);
             CHECK(link_of(*pair.containers[0], "eth0").at("mtu") == 1450);
             CHECK(pair.containers[0]->run("ip route show default").find("via 10.28.0.1") !=
                   std::string::npos);
           }},
      {.file = "masquerade.conflist",
       .network = "masquerade",
       .shared = {"cni-masq"},
       .addresses = 2,
       .look =
           [](const Pair& pair) {
             // Both are elements of one map, and the exceptions stand in a set.
             const std::string rules = pair.host.run("nft list table ip plumb_masquerade");
             for (const std::size_t index : {0U, 1U}) {
               CHECK(rules.find(pair.addresses(index).at(0) + " comment \"masquerade/c") !=
                     std::string::npos);
             }
             CHECK(rules.find("10.0.0.0/8, 224.0.0.0/4") != std::string::npos);
           }},
      {.file = "layer-2.conflist",
       .network = "layer-2",
       .shared = {"cni-layer2"},
       .addresses = 0,
       .look = [](const Pair& pair) { CHECK(join_by_hand(pair, "eth0")); }},
      {.file = "loopback.conflist",
       .network = "loopback",
       .shared = {},
       .ifname = "lo",
       .addresses = 2,
       .look =
           [](const Pair& pair) {
             CHECK(pings(*pair.containers[0], "127.0.0.1"));
             CHECK(pings(*pair.containers[1], "::1"));
           }},
  };
}

std::vector<Example> vlan_examples() {
  return {
      {.file = "vlan-access.conflist",
       .network = "vlan-access",
       .shared = {"cni-vlan.100", "cni-vlan"},
       .look =
           [](const Pair& pair) {
             const std::string port = pair.results[0].at("interfaces").at(1).at("name");
             const auto vlans =
                 json::parse(pair.host.run("bridge -j vlan show dev " + port)).at(0).at("vlans");
             REQUIRE(vlans.size() == 1);
             CHECK(vlans[0].at("vlan") == 100);
             CHECK(pair.host.run("ip address show dev cni-vlan.100").find("10.27.0.1/24") !=
                   std::string::npos);
           }},
      {.file = "vlan-trunk.conflist",
       .network = "vlan-trunk",
       .shared = {"cni-trunk"},
       .addresses = 0,
       .look =
           [](const Pair& pair) {
             for (const char* vlan : {"200", "209", "300"}) {
               INFO(vlan);
               CHECK(join_by_vlan(pair, vlan));
             }
             CHECK_FALSE(join_by_vlan(pair, "210"));
             CHECK_FALSE(join_by_hand(pair, "eth0"));
           }},
  };
}

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

// What the machine could have left of `try`.
std::string traces() {
  return run_checked({.argv = {"sh", "-c",
                               "cat /proc/self/mountinfo; ip -o link | sed 's/state.*//'; "
                               "ip -o address | sed 's/  *valid_lft.*//'; ip route show table all; "
                               "find /run/netns /var/lib/cni"}});
}

// The processes that have `assignment` in their environment, wherever they have gone.
std::vector<std::string> processes_with(const std::string& assignment) {
  std::vector<std::string> found;
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "environ", std::ios::binary);
    const std::string environment{std::istreambuf_iterator<char>(file), {}};
    if (environment.find(assignment) == std::string::npos) continue;
    found.push_back(fs::read_symlink(entry.path() / "exe", gone).string());
  }
  return found;
}

// A tmpfs that is not below /run, where temporary files of tests are and `try` has a tmpfs too.
struct VisibleDirectory {
  VisibleDirectory() { run_checked({.argv = {"mount", "-t", "tmpfs", "tmpfs", path}}); }
  VisibleDirectory(const VisibleDirectory&) = delete;
  VisibleDirectory& operator=(const VisibleDirectory&) = delete;
  ~VisibleDirectory() { run({.argv = {"umount", path}}); }

  const std::string path = "/mnt";
};

std::vector<std::string> try_words() {
  return {kExamples + "/try", "--bin", plugin_directory()};
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

TEST_CASE("conf-examples/try shows it all and leaves nothing", "[examples][bridge][veth]") {
  const std::string before = traces();
  const Outcome outcome = run({.argv = try_words()});
  INFO(outcome.text());
  CHECK(outcome.status == 0);
  CHECK_FALSE(outcome.left_processes);
  CHECK(outcome.err.empty());
  for (const char* title :
       {"\nADD\n", "\nPing, each way\n", "\nWeb pages, in and out\n", "\nCHECK\n", "\nDEL\n",
        "\nNothing is left\n", "\nHow long it took\n", "\nAll went well."}) {
    INFO(title);
    CHECK(outcome.out.find(title) != std::string::npos);
  }
  // Who fetched what, and as whom it was seen.
  for (const char* line :
       {"\n  lan  192.168.77.2  fetches 192.168.77.1 port 8080  c1 saw 192.168.77.2\n",
        "\n  c2   fd00:88::3    fetches fd00:77::2 port 80    lan saw fd00:77::1\n"}) {
    INFO(line);
    CHECK(outcome.out.find(line) != std::string::npos);
  }
  // Not a terminal: no colours.
  CHECK(outcome.out.find('\x1b') == std::string::npos);
  CHECK(traces() == before);
}

TEST_CASE("conf-examples/try fails in plain words", "[examples]") {
  const TempDirectory directory;
  const auto fails = [&](const std::vector<std::string>& argv, int status, const char* words) {
    const Outcome outcome = run({.argv = argv});
    INFO(outcome.text());
    CHECK(outcome.status == status);
    CHECK(outcome.err.find(words) != std::string::npos);
  };
  fails({kExamples + "/try", "--bin", directory.path()}, 1, "below /run");
  fails({kExamples + "/try", "--bin", "/usr/lib"}, 1, "there is no cnictl");
  fails({kExamples + "/try", "--fast"}, 2, "'--fast' is no option");
  fails({kExamples + "/try", "--inside", plugin_directory()}, 1, "not for the command line");

  // With a plugin that fails, at a place that `try` does not hide from itself.
  const VisibleDirectory visible;
  for (const auto& entry : fs::directory_iterator(plugin_directory())) {
    fs::create_symlink(entry.path(), visible.path + "/" + entry.path().filename().string());
  }
  fs::remove(visible.path + "/host-local");
  FakePlugin(visible.path, "host-local")
      .reply("ADD", {.out = R"({"code": 11, "msg": "the pool is busy"})", .status = 1});
  fails({kExamples + "/try", "--bin", visible.path}, 1, "the pool is busy");
  fails({kExamples + "/try", "--bin", visible.path}, 1, "Failed: ADD");
}

TEST_CASE("conf-examples/try leaves nothing when interrupted", "[examples][bridge][veth]") {
  const auto [signal, status] =
      GENERATE(table<int, int>({{SIGINT, 130}, {SIGTERM, 143}, {SIGHUP, 129}}));
  const std::string last = GENERATE(as<std::string>{}, "A private host", "ADD", "Ping, each way");
  INFO("signal " << signal << " after \"" << last << '"');
  const TempDirectory directory;
  const std::string log = directory.write("log", "");
  const std::string errors = directory.write("errors", "");
  const std::string pid_file = directory.write("pid", "");
  const std::string before = traces();
  Environment environment = plain_environment();
  environment["TRY_TEST"] = directory.path();

  // Nothing is a pipe that a process left behind would hold open: run() returns at once.
  const std::string script = "echo $$ >" + pid_file + " && exec \"$@\" 2>" + errors;
  Program program{
      .argv = {"sh", "-c", script, "sh"}, .environment = environment, .stdout_path = log};
  for (const std::string& word : try_words()) program.argv.push_back(word);
  Outcome outcome;
  std::atomic<bool> ended = false;
  std::thread runner([&] {
    outcome = run(program);
    ended = true;
  });
  bool begun = false;
  while (!begun && !ended) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    begun = read_whole_file(log).find("\n" + last + "\n") != std::string::npos;
  }
  const bool had_processes = !processes_with("TRY_TEST=" + directory.path()).empty();
  // To the whole group, as a terminal does.
  const std::string leader = read_whole_file(pid_file);
  const bool sent = begun && ::kill(-std::stoi(leader), signal) == 0;
  runner.join();

  const auto left = processes_with("TRY_TEST=" + directory.path());
  const std::string said = read_whole_file(errors);
  INFO(outcome.text() << read_whole_file(log) << said);
  REQUIRE(sent);
  CHECK(had_processes);
  CHECK(outcome.status == status);
  CHECK(said.find("Interrupted.") != std::string::npos);
  CHECK_FALSE(outcome.left_processes);
  CHECK(left.empty());
  CHECK(traces() == before);
}

}  // namespace cni::test
