// host-local-ipam against a model: any sequence of ADD, DEL, GC, CHECK and STATUS, of containers
// that die, of foreign reservations and of lost indices, over small ranges.
//
// Input: one byte chooses the ranges, one the options; then two bytes for each step.

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "base/file.h"
#include "fuzz/host_local_plugin.h"
#include "fuzz/input.h"
#include "fuzz/oracle.h"
#include "fuzz/scratch.h"
#include "fuzz/targets.h"
#include "host-local-ipam/config.h"
#include "host-local-ipam/dynamic_part.h"
#include "host-local-ipam/stamp.h"
#include "host-local-ipam/store.h"

namespace cni::fuzz {
namespace {

namespace fs = std::filesystem;
namespace plugin = host_local_plugin;
using host_local::Store;
using inet::Address;

constexpr std::array kRanges = {
    R"([[{"subnet": "198.18.77.0/29"}]])",
    R"([[{"subnet": "198.18.77.0/30"}, {"subnet": "198.18.79.0/29", "rangeStart": "198.18.79.4"}]])",
    R"([[{"subnet": "2001:db8:77::/125"}]])",
    R"([[{"subnet": "198.18.77.0/29"}], [{"subnet": "2001:db8:77::/126"}]])",
    R"([[{"subnet": "198.18.77.0/24", "rangeStart": "198.18.77.126", "rangeEnd": "198.18.77.130",
          "gateway": "198.18.77.128"}]])",
    R"([[{"subnet": "198.18.64.0/18", "rangeStart": "198.18.127.253", "rangeEnd": "198.18.127.254"},
         {"subnet": "198.18.128.0/18", "rangeEnd": "198.18.128.3"}]])",
};
constexpr int kMostSteps = 48;
constexpr unsigned kContainers = 8;

class World {
 public:
  World(std::uint8_t ranges, std::uint8_t options)
      : data_(fresh_directory()), ranges_(kRanges.at(ranges % kRanges.size())) {
    reclaims_ = (options & 1) == 0;
    cools_ = (options & 2) != 0;
    reserves_ = (options & 4) != 0;
    config_ = host_local::parse_config(call(Command::kAdd, 0));
  }

  void step(std::uint8_t what, std::uint8_t detail) {
    const unsigned container = what / 8 % kContainers;
    switch (what % 8) {
      case 0:
      case 1:
        add(container, "");
        break;
      case 2:
        del(container);
        break;
      case 3:
        die(container);
        break;
      case 4:
        gc(detail);
        break;
      case 5:
        add_requested(container, detail);
        break;
      case 6:
        disturb(container, detail);
        break;
      default:
        look(container);
    }
    compare();
  }

  // Everything comes back: as many containers as there are addresses get one each, and no more.
  void finish() {
    for (unsigned container = 0; container < kContainers; ++container) del(container);
    delete_foreign();
    compare();
    require(living_.empty() && dead_.empty(), "everybody is gone");
    std::size_t least = kMostSteps;
    for (std::size_t set = 0; set < config_.sets.size(); ++set) {
      least = std::min(least, addresses_of(set).size());
    }
    for (unsigned count = 0; count < least; ++count) add(kContainers + count, "");
    const unsigned one_more = kContainers + static_cast<unsigned>(least);
    add(one_more, "");
    require(!living_.contains(one_more), "there are no more addresses than there are");
  }

 private:
  using Given = std::set<Address>;

  std::string conf(const std::string& more, const std::string& in_ipam = "") const {
    std::string ipam =
        R"("type": "host-local", "dataDir": ")" + data_ + R"(", "ranges": )" + ranges_ + in_ipam;
    if (!reclaims_) ipam += R"(, "reclaim": false)";
    if (cools_) ipam += R"(, "cooldown": "1h")";
    if (reserves_) ipam += R"(, "reserved": ["198.18.77.2", "2001:db8:77::2"])";
    return R"({"cniVersion": "1.1.0", "name": "net", "ipam": {)" + ipam + "}" + more + "}";
  }

  static std::string name(unsigned container) { return "c" + std::to_string(container); }

  Request call(Command command, unsigned container, const std::string& more = "") const {
    return plugin::call(command, conf(more), name(container));
  }

  std::string shared() const { return data_ + "/net"; }

  // Those that are given to whoever does not ask for one.
  std::vector<Address> addresses_of(std::size_t set) const {
    std::vector<Address> all;
    for (const host_local::Range& range : config_.sets[set].ranges) {
      const host_local::DynamicPart part(range, config_.reserved);
      for (Address address = range.addresses.first;; address = address.next()) {
        if (part.contains(address)) all.push_back(address);
        if (address == range.addresses.last) break;
      }
    }
    return all;
  }

  bool is_taken(const Address& address) const {
    const auto has = [&](const auto& entry) { return entry.second.contains(address); };
    return foreign_.contains(address) || std::ranges::any_of(living_, has) ||
           (!reclaims_ && std::ranges::any_of(dead_, has));
  }

  // Whether an ADD that asks for nothing has to find an address in every set.
  bool has_free(unsigned container) const {
    const auto own = dead_.find(container);
    for (std::size_t set = 0; set < config_.sets.size(); ++set) {
      const auto all = addresses_of(set);
      const bool free = std::ranges::any_of(all, [&](const Address& address) {
        return !is_taken(address) || (own != dead_.end() && own->second.contains(address));
      });
      if (!free) return false;
    }
    return true;
  }

  void add(unsigned container, const std::string& more) {
    Undo undo;
    Result result;
    const bool has_one = living_.contains(container);
    const bool must = !has_one && more.empty() && has_free(container);
    const bool done = accepts(
        [&] {
          Request request = call(Command::kAdd, container, more);
          // Alive as long as this process.
          request.netns = netns::Netns::own();
          request.environment.netns = "/proc/self/ns/net";
          result = plugin::add(request, undo);
        },
        {Code::kInternal});
    if (!more.empty() && !done) return;
    require(!must || done, "a free address is given");
    if (!done) return;
    undo.commit();
    take(container, result, !more.empty());
  }

  void take(unsigned container, const Result& result, bool requested) {
    require(requested || !living_.contains(container), "an attachment gets its addresses once");
    require(result.ips.size() == config_.sets.size(), "each set gives an address");
    Given given;
    for (std::size_t set = 0; set < result.ips.size(); ++set) {
      const Address& address = result.ips[set].address.address;
      const host_local::Range* range = config_.sets[set].find(address);
      require(range != nullptr && address != range->gateway, "an address is one of the range");
      require(!foreign_.contains(address), "a foreign address stays with its owner");
      for (const auto& [other, theirs] : living_) {
        require(!theirs.contains(address), "no address is given twice");
      }
      for (auto& [other, theirs] : dead_) {
        require(!theirs.contains(address) || reclaims_ || other == container,
                "the dead keep theirs without reclaim");
        theirs.erase(address);
      }
      given.insert(address);
    }
    // Who asks for an address may have others (as with the Go suite), also of before it died.
    given.merge(dead_[container]);
    dead_.erase(container);
    living_[container].merge(given);
  }

  void add_requested(unsigned container, std::uint8_t detail) {
    const auto all = addresses_of(0);
    if (all.empty()) return;
    const Address wanted = all[detail % all.size()];
    const Given before = living_[container];
    add(container, R"(, "runtimeConfig": {"ips": [")" + wanted.text() + R"("]})");
    const Given& after = living_[container];
    require(after == before || after.contains(wanted), "a wish is granted");
    if (after.empty()) living_.erase(container);
  }

  void del(unsigned container) {
    require(accepts([&] { plugin::del(call(Command::kDel, container)); }, {}), "DEL succeeds");
    living_.erase(container);
    dead_.erase(container);
  }

  // Its record now speaks of a namespace that is gone. In place, which nobody sees.
  void die(unsigned container) {
    const auto alive = living_.find(container);
    if (alive == living_.end()) return;
    bool found = false;
    std::error_code absent;
    for (const auto& entry : fs::directory_iterator(data_ + "/.plumb/net/owners", absent)) {
      auto record = host_local::parse_record(read_file(entry.path().string(), 65536));
      require(record.has_value(), "a record is whole");
      const bool its = std::ranges::any_of(record->addresses, [&](const Address& address) {
        return alive->second.contains(address);
      });
      if (!its) continue;
      found = true;
      record->stamp.netns = netns::NetnsId{.device = 4, .inode = 1};
      std::ofstream(entry.path(), std::ios::binary | std::ios::trunc) << text(*record);
    }
    // After a disturbance nobody may know of a namespace.
    if (!found) return;
    dead_[container] = alive->second;
    living_.erase(alive);
  }

  void gc(std::uint8_t kept) {
    std::string list;
    for (unsigned container = 0; container < kContainers; ++container) {
      if ((kept >> container & 1U) == 0) continue;
      list += (list.empty() ? "" : ", ") +
              (R"({"containerID": ")" + name(container) + R"(", "ifname": "eth0"})");
    }
    const std::string more = R"(, "cni.dev/valid-attachments": [)" + list + "]";
    require(accepts([&] { plugin::gc(call(Command::kGc, 0, more)); }, {}), "GC succeeds");
    const auto is_gone = [&](const auto& entry) {
      return entry.first >= kContainers || (kept >> entry.first & 1U) == 0;
    };
    std::erase_if(living_, is_gone);
    std::erase_if(dead_, is_gone);
    foreign_.clear();
  }

  // What others do to the directory: the Go suite, and people.
  void disturb(unsigned container, std::uint8_t detail) {
    std::error_code ignored;
    switch (detail % 4) {
      case 0:
        fs::remove_all(data_ + "/.plumb", ignored);
        // Nobody knows any more who is dead.
        living_.merge(dead_);
        dead_.clear();
        break;
      case 1:
        fs::remove(data_ + "/.plumb/net/complete", ignored);
        break;
      case 2:
        add_foreign(container);
        break;
      default:
        delete_foreign();
    }
  }

  void add_foreign(unsigned container) {
    const auto all = addresses_of(0);
    if (all.empty()) return;
    const Address address = all[container % all.size()];
    if (is_taken(address)) return;
    const auto has = [&](const auto& entry) { return entry.second.contains(address); };
    if (std::ranges::any_of(dead_, has)) return;
    fs::create_directories(shared());
    std::ofstream(shared() + "/" + address.text()) << "f" << container << "\r\neth0";
    foreign_.insert(address);
  }

  void delete_foreign() {
    for (const Address& address : foreign_) fs::remove(shared() + "/" + address.text());
    foreign_.clear();
  }

  void look(unsigned container) const {
    const bool known = living_.contains(container) || dead_.contains(container);
    const bool found =
        accepts([&] { plugin::check(call(Command::kCheck, container)); }, {Code::kInternal});
    require(!living_.contains(container) || found, "CHECK finds who has an address");
    require(known || !found, "CHECK finds nobody else");
    accepts([&] { plugin::status(call(Command::kStatus, container)); }, {Code::kNotAvailable});
  }

  // What is on disk is what was given, but for those of the dead that were taken back.
  void compare() {
    std::map<std::string, Given> on_disk;
    if (const auto store = Store::find_for_reading(shared())) {
      const Store::Contents contents = store->read_all();
      require(contents.torn.empty() && contents.foreign.empty(), "every file is whole");
      for (const host_local::Reservation& one : contents.reservations) {
        if (foreign_.contains(one.address)) continue;
        on_disk[one.owner.container_id].insert(one.address);
      }
    }
    for (const auto& [container, given] : living_) {
      require(on_disk[name(container)] == given, "who lives has what was given");
      on_disk.erase(name(container));
    }
    std::map<unsigned, Given> still;
    for (const auto& [container, given] : dead_) {
      const Given& left = on_disk[name(container)];
      require(std::ranges::includes(given, left), "the dead get nothing");
      require(reclaims_ || left == given, "the dead keep theirs without reclaim");
      if (!left.empty()) still[container] = left;
      on_disk.erase(name(container));
    }
    dead_ = std::move(still);
    require(on_disk.empty(), "nobody else has an address");
  }

  std::string data_;
  std::string ranges_;
  bool reclaims_ = true;
  bool cools_ = false;
  bool reserves_ = false;
  host_local::Config config_;
  std::map<unsigned, Given> living_;
  std::map<unsigned, Given> dead_;
  Given foreign_;
};

}  // namespace

void host_local_allocator(std::string_view input) {
  Pieces pieces(input);
  const std::uint8_t ranges = pieces.byte();
  World world(ranges, pieces.byte());
  for (int count = 0; !pieces.empty() && count < kMostSteps; ++count) {
    const std::uint8_t what = pieces.byte();
    world.step(what, pieces.byte());
  }
  world.finish();
}

}  // namespace cni::fuzz
