// The directory of host-local-ipam with anything in it: names, contents and kinds of files.
//
// Input: one byte of options, then for each file a byte for its place, one for its kind, its name
// up to a NUL, and its content (Pieces::sized), in which "@BOOT@" stands for the boot ID. The
// option kVouched makes the index believe in all that is there, as it does after a save.

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>

#include "fuzz/host_local_plugin.h"
#include "fuzz/input.h"
#include "fuzz/oracle.h"
#include "fuzz/scratch.h"
#include "fuzz/targets.h"
#include "host-local-ipam/config.h"
#include "host-local-ipam/range.h"
#include "host-local-ipam/stamp.h"
#include "host-local-ipam/store.h"

namespace cni::fuzz {
namespace {

namespace fs = std::filesystem;
namespace plugin = host_local_plugin;
using host_local::Store;

constexpr std::uint8_t kVouched = 1;
constexpr std::uint8_t kSticky = 2;
constexpr std::uint8_t kCooldown = 4;
constexpr std::uint8_t kNoReclaim = 8;
constexpr std::uint8_t kLarge = 16;
// For benchmarks (RFC 2544): hardly configured on this machine.
constexpr const char* kSubnet = "198.18.77.0/29";
constexpr const char* kLargeSubnet = "198.18.72.0/21";
constexpr std::initializer_list<Code> kFileTrouble = {Code::kIoFailure};

struct Directories {
  std::string data;
  std::string shared() const { return data + "/net"; }
  std::string own() const { return data + "/.plumb/net"; }
};

std::string conf_of(const Directories& directories, std::uint8_t options,
                    const std::string& more = "") {
  std::string ipam = R"("type": "host-local", "dataDir": ")" + directories.data +
                     R"(", "ranges": [[{"subnet": ")" +
                     ((options & kLarge) != 0 ? kLargeSubnet : kSubnet) + "\"}]]";
  if ((options & kSticky) != 0) ipam += R"(, "sticky": true)";
  if ((options & kCooldown) != 0) ipam += R"(, "cooldown": "1h")";
  if ((options & kNoReclaim) != 0) ipam += R"(, "reclaim": false)";
  return R"({"cniVersion": "1.1.0", "name": "net", "ipam": {)" + ipam + "}" + more + "}";
}

std::string with_boot(std::string text) {
  static const std::string boot = host_local::boot_id();
  constexpr std::string_view kBoot = "@BOOT@";
  for (auto at = text.find(kBoot); at != std::string::npos; at = text.find(kBoot, at)) {
    text.replace(at, kBoot.size(), boot);
  }
  return text;
}

bool can_be_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos;
}

void make_file(const Directories& directories, Pieces& pieces) {
  static constexpr std::array kBelow = {"owners", "used", "sticky", "held", "cooling"};
  const std::uint8_t place = pieces.byte();
  const std::uint8_t kind = pieces.byte();
  const std::string_view name = pieces.text();
  const std::string content = with_boot(std::string(pieces.sized()));
  std::string directory = directories.own();
  if (place % 8 == 0) directory = directories.shared();
  if (place % 8 > 2) directory += std::string("/") + kBelow.at(place % 8 - 3);
  std::error_code error;
  fs::create_directories(directory, error);
  const std::string path = directory + "/" + std::string(name);
  if (error || !can_be_name(name) || fs::exists(fs::symlink_status(path))) return;
  switch (kind % 16) {
    case 1:
      fs::create_directory(path, error);
      break;
    case 2:
      fs::create_symlink(content.empty() ? "/dev/zero" : content.substr(0, 100), path, error);
      break;
    case 3:
      ::mkfifo(path.c_str(), 0600);
      break;
    default:
      std::ofstream(path, std::ios::binary) << content;
  }
}

// As Index::save() does at its end.
void vouch(const Directories& directories) {
  // A lock that is made later would change the mark.
  const std::string lock = directories.shared() + "/lock";
  if (!fs::exists(fs::symlink_status(lock))) std::ofstream(lock).close();
  const auto text = [](const state::Mark& mark) {
    return std::to_string(mark.seconds) + "." + std::to_string(mark.nanoseconds);
  };
  const auto write = [&] {
    const auto shared = state::DirectoryStore::find(directories.shared());
    const auto own = state::DirectoryStore::ensure(directories.own(), 0755);
    const auto mark = shared->set_new_mark();
    const auto owners_mark = own.ensure_below("owners", 0755).set_new_mark();
    if (!mark || !owners_mark) return;
    own.replace("complete",
                host_local::boot_id() + " " + text(*mark) + " " + text(*owners_mark) + "\n", 0600);
  };
  accepts(write, kFileTrouble);
}

Store::Contents contents_of(const Directories& directories) {
  const auto store = Store::find_for_reading(directories.shared());
  require(store.has_value(), "the directory stays");
  return store->read_all();
}

bool is_ours(const inet::Address& address) {
  return inet::Network::parse(kLargeSubnet)->contains(address);
}

std::size_t foreign_addresses(const Directories& directories) {
  const auto foreign = contents_of(directories).foreign;
  // 1 is the gateway; 2 to 6 are given away.
  return static_cast<std::size_t>(std::ranges::count_if(foreign, [](const inet::Address& address) {
    const auto last = static_cast<unsigned>(address.bits() & 0xffU);
    return inet::Network::parse(kSubnet)->contains(address) && last >= 2 && last <= 6;
  }));
}

// Whether ADD gave an address that is then reserved for the container.
bool add(const Directories& directories, const std::string& conf, const std::string& container) {
  Undo undo;
  Result result;
  const auto run = [&] {
    result = plugin::add(plugin::call(Command::kAdd, conf, container), undo);
  };
  if (!accepts(run, {Code::kInternal, Code::kIoFailure})) return false;
  undo.commit();
  require(result.ips.size() == 1 && is_ours(result.ips[0].address.address),
          "an address is of the range");
  const auto store = Store::find_for_reading(directories.shared());
  const auto entry = store->look_up(result.ips[0].address.address);
  require(entry.use == Store::Use::kReserved && entry.owner.container_id == container,
          "an address is reserved for whom it was given to");
  return true;
}

void check_life(const Directories& directories, std::uint8_t options) {
  const std::string conf = conf_of(directories, options);
  accepts([&] { plugin::status(plugin::call(Command::kStatus, conf, "")); },
          {Code::kNotAvailable, Code::kIoFailure});
  if (add(directories, conf, "c1")) {
    require(accepts([&] { plugin::check(plugin::call(Command::kCheck, conf, "c1")); },
                    {Code::kInternal, Code::kIoFailure}),
            "CHECK finds what ADD gave");
    require(!add(directories, conf, "c1"), "an attachment gets one address");
  }
  const bool deleted =
      accepts([&] { plugin::del(plugin::call(Command::kDel, conf, "c1")); }, kFileTrouble);
  for (const host_local::Reservation& left : contents_of(directories).reservations) {
    require(!deleted || left.owner != host_local::Owner{"c1", "eth0"}, "DEL leaves nothing");
  }
  const std::string list = R"(, "cni.dev/valid-attachments": [])";
  const std::string gc_conf = conf_of(directories, options, list);
  const bool collected =
      accepts([&] { plugin::gc(plugin::call(Command::kGc, gc_conf, "")); }, kFileTrouble);
  if (!collected) return;
  const Store::Contents left = contents_of(directories);
  require(left.torn.empty(), "GC frees what is torn");
  require(
      std::ranges::none_of(left.reservations, [](const auto& one) { return is_ours(one.address); }),
      "GC frees all");
  // Sticky addresses and cooldowns hold up nobody but those who may wait.
  const std::string plain = conf_of(directories, 0);
  require(add(directories, plain, "c2") || foreign_addresses(directories) > 4,
          "a free address is given");
}

}  // namespace

void host_local_state(std::string_view input) {
  const Directories directories{.data = fresh_directory()};
  fs::create_directories(directories.shared());
  Pieces pieces(input);
  const std::uint8_t options = pieces.byte();
  for (int count = 0; !pieces.empty() && count < 32; ++count) make_file(directories, pieces);
  if ((options & kVouched) != 0) vouch(directories);
  check_life(directories, options);
}

}  // namespace cni::fuzz
