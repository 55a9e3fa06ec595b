#include "host-local-ipam/address_set.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "support/sandbox.h"

using cni::host_local::AddressSet;
using cni::host_local::Interval;
using cni::inet::Address;
using cni::state::DirectoryStore;
using cni::test::TempDirectory;

namespace {

Address address(const char* text) {
  return *Address::parse(text);
}

Interval interval(const char* first, const char* last) {
  return {.first = address(first), .last = address(last)};
}

std::string find(AddressSet& set, const Interval& in) {
  const std::array<AddressSet*, 1> sets = {&set};
  const auto found = AddressSet::find_absent(sets, in);
  return found ? found->text() : "none";
}

}  // namespace

TEST_CASE("a set of addresses remembers", "[host-local]") {
  const TempDirectory root;
  const auto store = DirectoryStore::ensure(root.path(), 0755);
  AddressSet set(std::nullopt);
  for (const char* text : {"10.1.127.255", "10.1.128.0", "10.1.128.1", "::", "fd00::7fff",
                           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}) {
    CHECK_FALSE(set.contains(address(text)));
    set.insert(address(text));
    set.insert(address(text));
    CHECK(set.contains(address(text)));
  }
  set.erase(address("10.1.128.0"));
  set.save(store, "set");

  AddressSet again(store.find_below("set"));
  CHECK_FALSE(again.contains(address("10.1.128.0")));
  CHECK(again.count(interval("0.0.0.0", "255.255.255.255")) == 2);
  CHECK(again.count(interval("10.1.128.0", "10.1.128.1")) == 1);
  CHECK(again.count(interval("10.1.128.2", "10.1.255.255")) == 0);
  CHECK(again.count(interval("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")) == 3);
  CHECK(again.contains(address("fd00::7fff")));
  again.erase(address("fd00::7fff"));
  again.save(store, "set");
  CHECK_FALSE(AddressSet(store.find_below("set")).contains(address("fd00::7fff")));
  // Little was written: a file ends with the last byte that was ever set.
  CHECK(std::filesystem::file_size(root / "set/4-1403") == 1);
}

TEST_CASE("the next absent address is found across files", "[host-local]") {
  AddressSet set(std::nullopt);
  const Interval all = interval("10.0.255.250", "10.1.128.9");
  CHECK(find(set, all) == "10.0.255.250");
  for (Address at = all.first; at < address("10.1.128.5"); at = at.next()) set.insert(at);
  CHECK(find(set, all) == "10.1.128.5");
  CHECK(find(set, interval("10.0.255.250", "10.1.128.4")) == "none");
  CHECK(find(set, interval("10.1.128.4", "10.1.128.4")) == "none");
  set.erase(address("10.1.0.0"));
  CHECK(find(set, all) == "10.1.0.0");
  CHECK(find(set, interval("10.1.0.1", "10.1.128.4")) == "none");
  CHECK(set.count(all) == 5 + 6 + 32767);

  const Interval end = interval("255.255.255.254", "255.255.255.255");
  set.insert(end.first);
  set.insert(end.last);
  CHECK(find(set, end) == "none");

  AddressSet other(std::nullopt);
  other.insert(address("10.1.0.0"));
  const std::array<AddressSet*, 2> both = {&set, &other};
  CHECK(AddressSet::find_absent(both, all)->text() == "10.1.128.5");
}

TEST_CASE("a set is emptied on disk too", "[host-local]") {
  const TempDirectory root;
  const auto store = DirectoryStore::ensure(root.path(), 0755);
  AddressSet set(std::nullopt);
  set.insert(address("10.1.2.3"));
  set.insert(address("10.2.2.3"));
  set.save(store, "set");
  AddressSet again(store.find_below("set"));
  again.clear();
  again.insert(address("10.1.2.4"));
  again.save(store, "set");
  AddressSet last(store.find_below("set"));
  CHECK(last.count(interval("0.0.0.0", "255.255.255.255")) == 1);
}

TEST_CASE("a file of another size or kind is damage", "[host-local]") {
  const TempDirectory root;
  const auto store = DirectoryStore::ensure(root.path(), 0755);
  SECTION("too long") {
    root.write("set/4-1402", std::string(4097, '\0'));
  }
  SECTION("a directory") {
    std::filesystem::create_directories(root / "set/4-1402");
  }
  AddressSet set(store.find_below("set"));
  CHECK_FALSE(set.damaged());
  CHECK_FALSE(set.contains(address("10.1.2.3")));
  CHECK(set.damaged());
  set.clear();
  CHECK_FALSE(set.damaged());
}
