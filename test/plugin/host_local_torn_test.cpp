// host-local-ipam: files that are torn, foreign, or cannot be written.
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <functional>

#include "plugin/host_local_network.h"
#include "support/snapshot.h"

using cni::test::AddressNetwork;
using cni::test::difference;
using cni::test::kSmall;
using cni::test::Snapshot;
using cni::test::TempDirectory;
using cni::test::write_file;
using nlohmann::json;

namespace {

const std::vector<std::pair<std::string, std::string>> kNone;

struct Tear {
  std::string name;
  std::function<void(const std::string& path)> make;
  bool is_file = true;
};

void remove_entry(const std::string& path) {
  std::filesystem::remove_all(path);
}

// What a file may have become, by accident or ill will.
std::vector<Tear> tears(const std::string& content) {
  const auto writes = [](std::string text) {
    return [text = std::move(text)](const std::string& path) {
      remove_entry(path);
      write_file(path, text, 0600);
    };
  };
  std::vector<Tear> tears = {
      {"empty", writes("")},
      {"half", writes(content.substr(0, content.size() / 2))},
      {"all but the last byte", writes(content.substr(0, content.size() - 1))},
      {"NULs", writes(std::string(content.size(), '\0'))},
      {"garbage", writes("\x01\xff garbage \r\n\r\n ../x")},
      {"1 MiB", writes(std::string(1U << 20U, 'x'))},
      {"ones", writes(std::string(4096, '\xff'))},
      {"a directory",
       [](const std::string& path) {
         remove_entry(path);
         std::filesystem::create_directories(path + "/inside");
       },
       false},
      {"a link",
       [](const std::string& path) {
         remove_entry(path);
         std::filesystem::create_symlink("/etc/passwd", path);
       },
       false},
      {"a FIFO",
       [](const std::string& path) {
         remove_entry(path);
         REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
       },
       false},
  };
  return tears;
}

std::vector<std::string> files_below(const std::string& directory) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

class Tmpfs {
 public:
  explicit Tmpfs(const std::string& options) {
    REQUIRE(::mount("none", directory_.path().c_str(), "tmpfs", 0, options.c_str()) == 0);
  }
  ~Tmpfs() { ::umount2(directory_.path().c_str(), MNT_DETACH); }
  std::string operator/(const std::string& name) const { return directory_ / name; }
  void make_read_only() const {
    REQUIRE(::mount("none", directory_.path().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) ==
            0);
  }

 private:
  TempDirectory directory_;
};

}  // namespace

TEST_CASE("a torn reservation belongs to nobody", "[host-local]") {
  for (const Tear& tear : tears("c1\r\neth0")) {
    // All that is left of these is a reservation for somebody else.
    if (tear.name == "half" || tear.name == "all but the last byte") continue;
    INFO(tear.name);
    const AddressNetwork network(json{{"subnet", "10.1.2.0/29"}});
    for (const char* id : {"c1", "c2", "c3", "c4"}) network.added(id);
    const std::string path = network.directory() + "/10.1.2.3";
    tear.make(path);
    CHECK(network.del("c2").status == 0);
    CHECK(network.added("c6") == "10.1.2.6");
    if (tear.is_file) {
      CHECK(network.added("c7") == "10.1.2.3");
      CHECK(network.content("10.1.2.3") == "c7\r\neth0");
      tear.make(path);
      CHECK(network.gc(kNone).status == 0);
      CHECK(network.reserved().empty());
    } else {
      // Taken, and left alone.
      CHECK(network.add("c7").code() == 999);
      CHECK(network.gc(kNone).status == 0);
      CHECK(network.reserved() == std::set<std::string>{"10.1.2.3"});
      remove_entry(path);
    }
    CHECK(network.added("c8") == (tear.is_file ? "10.1.2.4" : "10.1.2.2"));
  }
}

TEST_CASE("every other state file may be torn", "[host-local][many]") {
  // A network whose state has every kind of file.
  json ipam = kSmall;
  ipam["cooldown"] = "1h";
  ipam["sticky"] = true;
  const auto fill = [](const AddressNetwork& network) {
    const std::string pod = "IgnoreUnknown=1;K8S_POD_NAMESPACE=n;K8S_POD_NAME=";
    REQUIRE(network.added_by({.verb = "ADD", .id = "c1"}) == "10.1.2.2");
    REQUIRE(network.added_by({.verb = "ADD", .id = "c2", .args = pod + "a"}) == "10.1.2.3");
    REQUIRE(network.added_by({.verb = "ADD", .id = "c3", .args = pod + "b"}) == "10.1.2.4");
    REQUIRE(network.added_by({.verb = "ADD", .id = "c4"}) == "10.1.2.5");
    REQUIRE(network.del("c2").status == 0);
    REQUIRE(network.del("c4").status == 0);
  };
  const AddressNetwork sample(ipam);
  fill(sample);
  std::vector<std::string> names;
  for (const std::string& path : files_below(sample.data_dir())) {
    const std::string name = path.substr(sample.data_dir().size());
    if (name.find("/10.1.2.") == std::string::npos) names.push_back(name);
  }
  // lock, pointer, complete, reclaimed, 2 owners, used, held, 2 sticky, cooling, queue
  CHECK(names.size() == 12);
  for (const std::string& name : names) {
    const std::string content = cni::test::read_whole_file(sample.data_dir() + name);
    for (const Tear& tear : tears(content)) {
      INFO(name << ": " << tear.name);
      const AddressNetwork network(ipam);
      fill(network);
      REQUIRE(std::filesystem::exists(network.data_dir() + name));
      tear.make(network.data_dir() + name);
      CHECK(network.status().status == 0);
      CHECK(network.call({.verb = "CHECK", .id = "c1"}).status == 0);
      std::set<std::string> given = {"10.1.2.2", "10.1.2.4"};
      CHECK(given.insert(network.added("c5")).second);
      CHECK(network.reserved() == given);
      CHECK(network.del("c1").status == 0);
      CHECK(network.del("c3").status == 0);
      CHECK(network.gc(kNone).status == 0);
      CHECK(network.reserved().empty());
      std::set<std::string> again;
      // All but the two that are held.
      for (int count = 0; count < 11; ++count) {
        CHECK(again.insert(network.added("d" + std::to_string(count))).second);
      }
    }
  }
}

TEST_CASE("the index may be lost", "[host-local]") {
  const AddressNetwork network(kSmall);
  for (const char* id : {"c1", "c2", "c3"}) network.added(id);
  std::filesystem::remove_all(network.data_dir() + "/.plumb");
  CHECK(network.del("c2").status == 0);
  CHECK(network.reserved() == std::set<std::string>{"10.1.2.2", "10.1.2.4"});
  SECTION("in part") {
    std::filesystem::remove_all(network.own_directory() + "/owners");
    CHECK(network.del("c1").status == 0);
    CHECK(network.reserved() == std::set<std::string>{"10.1.2.4"});
  }
  SECTION("one file of it") {
    for (const auto& entry :
         std::filesystem::directory_iterator(network.own_directory() + "/owners")) {
      std::filesystem::remove(entry.path());
      break;
    }
    CHECK(network.del("c1").status == 0);
    CHECK(network.del("c3").status == 0);
    CHECK(network.reserved().empty());
  }
  SECTION("or there may be something else") {
    std::filesystem::remove_all(network.data_dir() + "/.plumb");
    write_file(network.data_dir() + "/.plumb", "x");
    CHECK(network.del("c1").status == 0);
    CHECK(network.added("c4") == "10.1.2.5");
    CHECK(network.reserved() == std::set<std::string>{"10.1.2.4", "10.1.2.5"});
  }
}

TEST_CASE("a full disk is an error that leaves nothing", "[host-local]") {
  const bool inodes = GENERATE(false, true);
  INFO((inodes ? "inodes" : "blocks"));
  const Tmpfs disk(inodes ? "nr_inodes=64" : "size=256k");
  AddressNetwork network(json{{"subnet", "10.1.0.0/16"}});
  network.config["ipam"]["dataDir"] = disk / "networks";
  int count = 0;
  cni::test::PluginOutcome outcome;
  do {
    outcome = network.add("c" + std::to_string(count++));
  } while (outcome.status == 0 && count < 1000);
  INFO(outcome.text());
  CHECK(outcome.code() == 5);
  // Nothing at all is left to be had, not even for a small file.
  if (!inodes) {
    try {
      write_file(disk / "filler", std::string(256 * 1024, 'x'));
    } catch (const std::runtime_error&) {
    }
  }
  const auto before = Snapshot::take("", {network.directory()});
  CHECK(network.add("more").code() == 5);
  CHECK(difference(before, Snapshot::take("", {network.directory()})) == "");
  CHECK(network.status().code() == 50);

  remove_entry(disk / "filler");
  for (int at = 0; at < count; ++at) CHECK(network.del("c" + std::to_string(at)).status == 0);
  CHECK(network.reserved().empty());
  CHECK(network.add("more").status == 0);
}

TEST_CASE("a read-only directory is an error", "[host-local]") {
  const Tmpfs disk("");
  AddressNetwork network(kSmall);
  network.config["ipam"]["dataDir"] = disk / "networks";
  const bool used = GENERATE(false, true);
  if (used) REQUIRE(network.added("c1") == "10.1.2.2");
  disk.make_read_only();
  CHECK(network.add("c2").code() == 5);
  const auto status = network.status();
  CHECK(status.code() == 50);
  CHECK(status.message().find("read-only file system") != std::string::npos);
  // A reservation that could not be released is no success.
  CHECK(network.del("c1").code() == (used ? 5 : 0));
  CHECK(network.del("unknown").status == 0);
}

TEST_CASE("something else in the place of the directory is an error", "[host-local]") {
  const AddressNetwork network(kSmall);
  write_file(network.data_dir(), "");
  CHECK(network.add("c1").code() == 5);
  CHECK(network.status().code() == 50);
}
