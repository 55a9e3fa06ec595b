#include "cnictl/cache.h"

#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>

#include "json/parse.h"
#include "support/sandbox.h"

using cni::cnictl::Cache;
using cni::cnictl::CachedAttachment;
using cni::test::read_whole_file;
using cni::test::TempDirectory;

namespace {

// What test/golden/cnictl/libcni.cache holds, which libcni 1.1.2 wrote.
CachedAttachment example() {
  return {
      .network = "rec",
      .attachment = {.container_id = "cnitool-20b4ff582526573bbe7d", .ifname = "eth0"},
      .netns = "",
      .config = R"({"cniVersion":"1.0.0","name":"rec","disableCheck":false,"plugins":[)"
                R"({"type":"rec","z":"<&>","b":1.5,"a":[1,2,{"y":null,"x":true}],)"
                R"("capabilities":{"portMappings":true,"mac":true}}]})"
                "\n",
      .args = {{"IgnoreUnknown", "1"}, {"K", "<v&>"}},
      .capability_args = cni::json::parse(
          R"({"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}],"x":1})"),
      .result = cni::json::parse(
          R"({"cniVersion":"1.0.0","interfaces":[{"name":"a<b"}],)"
          R"("ips":[{"address":"10.1.1.5/24","gateway":"10.1.1.1"}],)"
          R"("routes":[{"dst":"0.0.0.0/0"}],"dns":{"domain":"d","search":["s"]}})"),
  };
}

std::string golden() {
  return read_whole_file(CNI_SOURCE_DIRECTORY "/test/golden/cnictl/libcni.cache");
}

mode_t mode(const std::string& path) {
  struct stat status{};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777U;
}

}  // namespace

TEST_CASE("A cached attachment is written byte for byte as libcni writes it", "[cnictl]") {
  CHECK(cni::cnictl::render_cached(example()) == golden());
}

TEST_CASE("The namespace stands where newer versions of libcni put it", "[cnictl]") {
  CachedAttachment cached = example();
  cached.netns = "/run/netns/c1";
  CHECK(cni::cnictl::render_cached(cached).find(
            R"("networkName":"rec","netns":"/run/netns/c1","cniArgs":)") != std::string::npos);
}

TEST_CASE("A file of libcni is read", "[cnictl]") {
  const auto cached = cni::cnictl::parse_cached(golden());
  REQUIRE(cached);
  CHECK(cached->network == "rec");
  CHECK(cached->attachment == example().attachment);
  CHECK(cached->args == example().args);
  CHECK(cached->result["ips"][0]["address"] == "10.1.1.5/24");
  CHECK(cached->capability_args["x"] == 1);
}

TEST_CASE("An attachment lies in a file of its own that only root reads", "[cnictl]") {
  const TempDirectory directory;
  const Cache cache(directory / "cni");
  cache.store(example());
  const std::string file = directory / "cni/results/rec-cnitool-20b4ff582526573bbe7d-eth0";
  CHECK(read_whole_file(file) == golden());
  CHECK(mode(file) == 0600);
  CHECK(mode(directory / "cni/results") == 0700);
  CHECK(std::ranges::distance(std::filesystem::directory_iterator(directory / "cni/results"),
                              std::filesystem::directory_iterator()) == 1);

  CHECK(cache.find("rec", example().attachment)->args == example().args);
  CHECK(cache.delete_if_exists("rec", example().attachment));
  CHECK_FALSE(cache.delete_if_exists("rec", example().attachment));
  CHECK_FALSE(cache.find("rec", example().attachment));
}

TEST_CASE("A file of the oldest format is a bare result", "[cnictl]") {
  const TempDirectory directory;
  directory.write("results/net-c1-eth0", R"({"cniVersion": "0.4.0", "ips": []})");
  const auto cached = Cache(directory.path()).find("net", {.container_id = "c1", .ifname = "eth0"});
  REQUIRE(cached);
  CHECK(cached->result["cniVersion"] == "0.4.0");
  CHECK(cached->netns.empty());
}

TEST_CASE("A file that cannot be read is no attachment", "[cnictl]") {
  const TempDirectory directory;
  const std::string content =
      GENERATE("", "{", "[]", R"({"kind": "cniCacheV2"})", R"({"kind": "cniCacheV1", "result": 7})",
               R"({"kind": "cniCacheV1", "cniArgs": [["K"]]})");
  directory.write("results/net-c1-eth0", content);
  const Cache cache(directory.path());
  CHECK_FALSE(cache.find("net", {.container_id = "c1", .ifname = "eth0"}));
  CHECK(cache.list("net").empty());
}

TEST_CASE("Listing tells networks apart whose names begin alike", "[cnictl]") {
  const TempDirectory directory;
  const Cache cache(directory.path());
  CHECK(cache.list("net").empty());
  for (const char* network : {"net", "net-1", "network"}) {
    CachedAttachment cached = example();
    cached.network = network;
    cache.store(cached);
  }
  std::filesystem::create_directory(directory / "results/net-folder");
  REQUIRE(cache.list("net").size() == 1);
  CHECK(cache.list("net").front().network == "net");
}
