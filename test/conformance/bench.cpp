#include "bench.h"

#include <algorithm>
#include <filesystem>
#include <thread>

#include "convert.h"
#include "kernel.h"
#include "netns.h"
#include "schema.h"

namespace conformance {
namespace {

namespace fs = std::filesystem;
using nlohmann::literals::operator""_json;

constexpr const char* kNetwork = "net1";

std::optional<json> parse(const std::string& text) {
  json document = json::parse(text, nullptr, false);
  if (document.is_discarded()) return std::nullopt;
  return document;
}

bool is_blank(const std::string& text) {
  return text.find_first_not_of(" \t\r\n") == std::string::npos;
}

// Before anything else of the Bench is made.
const Subject& in_private_place(const Subject& subject, const std::string& plugins) {
  enter_private_place(plugins);
  return subject;
}

}  // namespace

Bench::Bench(const Subject& subject, std::string version, const std::string& plugins)
    : subject_(in_private_place(subject, plugins)),
      version_(std::move(version)),
      ipam_(std::string(kWorkDirectory) + "/ipam") {}

Attachment Bench::attachment(const std::string& id, const std::string& container) const {
  return {id, subject_.ifname, container};
}

std::string Bench::netns(const Attachment& attachment) const {
  const std::string path = "/run/netns/" + attachment.container;
  return fs::exists(path) ? path : make_netns(attachment.container);
}

void Bench::end_container(const Attachment& attachment) {
  delete_netns(netns(attachment));
  std::erase_if(bases_, [&](const auto& base) { return base.first.first == attachment.container; });
}

json Bench::config(const json& patch) const {
  json config = subject_.config;
  config["cniVersion"] = version_;
  config["name"] = kNetwork;
  config["type"] = kind() == kIpam ? "bridge" : subject_.name;
  config.merge_patch(patch);
  return config;
}

void Bench::make_base_link(const Attachment& attachment) {
  const std::string path = netns(attachment);
  const int number = ++last_base_;
  const std::string host = fmt::format("{}{}", kBaseLink, number);
  const std::string address = fmt::format("10.66.{}.2/24", number);
  kernel::add_veth(host, attachment.ifname, path);
  kernel::add_address(host, fmt::format("10.66.{}.1/24", number));
  kernel::set_up(host, true);
  std::string mac;
  in_netns(path, [&] {
    kernel::add_address(attachment.ifname, address);
    kernel::set_up(attachment.ifname, true);
    mac = kernel::find_link(attachment.ifname)->mac;
  });
  json result = R"({"cniVersion": "1.1.0", "interfaces": [{}, {}], "ips": [{"interface": 1}],
                    "routes": [{"dst": "10.0.0.0/8"}],
                    "dns": {"nameservers": ["10.0.0.53"], "options": ["ndots:5", "ndots:5"]}})"_json;
  result["interfaces"][0] = {{"name", host}, {"mac", kernel::find_link(host)->mac}};
  result["interfaces"][1] = {{"name", attachment.ifname}, {"mac", mac}, {"sandbox", path}};
  result["ips"][0]["address"] = address;
  result["ips"][0]["gateway"] = fmt::format("10.66.{}.1", number);
  bases_[{attachment.container, attachment.ifname}] = result;
}

json Bench::base_result(const Attachment& attachment, const std::string& version) {
  const std::pair key(attachment.container, attachment.ifname);
  if (!bases_.contains(key)) make_base_link(attachment);
  return converted(bases_.at(key), version);
}

json Bench::request(const std::string& verb, const Attachment& attachment, const json& patch) {
  json config = this->config();
  if (verb == "ADD" && kind() == kChained) {
    config["prevResult"] = base_result(attachment);
  } else if ((verb == "CHECK" || verb == "DEL") && serves("0.4.0")) {
    const auto found = results_.find({patch.value("name", kNetwork), attachment});
    if (found != results_.end()) config["prevResult"] = found->second;
  }
  config.merge_patch(patch);
  return config;
}

Environment Bench::environment(const std::string& verb, const Attachment& attachment,
                               const Changes& changes) const {
  Environment environment = {
      {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
      {"CNI_COMMAND", verb}};
  environment["CNI_PATH"] = "dummy";
  if (verb != "VERSION") {
    environment["CNI_PATH"] = fmt::format("{}:{}", ipam_.directory(), kPluginDirectory);
  }
  if (verb != "VERSION" && verb != "GC" && verb != "STATUS") {
    environment["CNI_CONTAINERID"] = attachment.id;
    environment["CNI_NETNS"] = "/run/netns/" + attachment.container;
    environment["CNI_IFNAME"] = attachment.ifname;
  }
  for (const auto& [name, value] : changes) {
    if (value) {
      environment[name] = *value;
    } else {
      environment.erase(name);
    }
  }
  return environment;
}

Program Bench::program(const std::string& verb, const Attachment& attachment, const json& config,
                       const Changes& changes) const {
  if (verb == "ADD") netns(attachment);
  return {.argv = {fmt::format("{}/{}", kPluginDirectory, subject_.name)},
          .environment = environment(verb, attachment, changes),
          .input = config.dump()};
}

Outcome Bench::call(const std::string& verb, const Attachment& attachment, const json& config,
                    const Changes& changes) const {
  return run(program(verb, attachment, config, changes));
}

Outcome Bench::call(const std::string& verb, const Attachment& attachment) {
  return call(verb, attachment, request(verb, attachment));
}

json Bench::add(const Attachment& attachment, const json& patch) {
  const json result =
      expect_result(call("ADD", attachment, request("ADD", attachment, patch)), "ADD");
  remember(attachment, result, patch);
  return result;
}

void Bench::remember(const Attachment& attachment, const json& result, const json& patch) {
  results_[{patch.is_object() ? patch.value("name", kNetwork) : kNetwork, attachment}] = result;
}

void Bench::del(const Attachment& attachment, const json& patch) {
  expect_success(call("DEL", attachment, request("DEL", attachment, patch)), "DEL");
}

void Bench::check(const Attachment& attachment, const std::string& when) {
  expect_success(call("CHECK", attachment), "CHECK " + when);
}

json Bench::gc_config(const std::vector<Attachment>& valid, const json& patch) const {
  json list = json::array();
  for (const Attachment& attachment : valid) {
    list.push_back({{"containerID", attachment.id}, {"ifname", attachment.ifname}});
  }
  json config = this->config({{"cni.dev/valid-attachments", list}, {"cni.dev/attachments", list}});
  config.merge_patch(patch);
  return config;
}

void Bench::warm_up() {
  const Attachment one = attachment("warm", "warm");
  add(one);
  del(one);
  ipam_.forget_calls();
}

void expect(bool fine, const std::string& what) {
  if (!fine) throw Failed(what);
}

void applies(bool applicable, const std::string& reason) {
  if (!applicable) throw NotApplicable(reason);
}

void expect_success(const Outcome& outcome, const std::string& what) {
  expect(outcome.status == 0 && !outcome.timed_out,
         fmt::format("{} fails: {}", what, outcome.text()));
}

void expect_silence(const Outcome& outcome, const std::string& what) {
  expect_success(outcome, what);
  expect(is_blank(outcome.out), fmt::format("{} prints: {}", what, outcome.text()));
}

json expect_result(const Outcome& outcome, const std::string& what) {
  expect_success(outcome, what);
  const auto document = parse(outcome.out);
  expect(document && document->is_object(),
         fmt::format("{} prints no JSON object: {}", what, outcome.text()));
  return *document;
}

json expect_error(const Outcome& outcome, const std::string& what, const std::vector<int>& codes) {
  expect(outcome.signal == 0 && !outcome.timed_out,
         fmt::format("{} ends badly: {}", what, outcome.text()));
  expect(outcome.status != 0, fmt::format("{} succeeds: {}", what, outcome.text()));
  const auto document = parse(outcome.out);
  expect(document && document->is_object() && document->value("code", json()).is_number_integer(),
         fmt::format("{} prints no error object: {}", what, outcome.text()));
  const json code = document->at("code");
  expect(codes.empty() || std::ranges::count(codes, code.get<int>()) > 0,
         fmt::format("{} ends with code {}, not {}: {}", what, code.dump(),
                     fmt::join(codes, " or "), outcome.text()));
  return *document;
}

void expect_mention(const json& error, const std::string& word, const std::string& what) {
  const std::string text = error.dump(-1, ' ', false, json::error_handler_t::replace);
  expect(text.find(word) != std::string::npos,
         fmt::format("{}: the error does not mention {}: {}", what, word, text));
}

void expect_same(const Snapshot& before, const Snapshot& after, const std::string& what) {
  const std::string changed = difference(before, after);
  expect(changed.empty(), fmt::format("{}: {}", what, changed));
}

void expect_same(const Snapshot& before, const std::string& what) {
  // A namespace that ended takes its interfaces along a moment later.
  for (int tries = 0; tries < 200; ++tries) {
    if (difference(before, take_snapshot()).empty()) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  expect_same(before, take_snapshot(), what);
}

void expect_schema(const std::string& schema, const json& document, const std::string& what) {
  const auto fault = schema_fault(schema, document);
  expect(!fault, fmt::format("{}: {} in {}", what, fault.value_or(""), document.dump()));
}

json in_newest(const json& result) {
  json made = result;
  for (const char* key : {"interfaces", "ips", "routes"}) {
    if (!made.contains(key) || made[key].is_null()) made[key] = json::array();
  }
  for (const char* key : {"ip4", "ip6"}) {
    if (!made.contains(key)) continue;
    json address = {{"address", made[key].value("ip", "")}};
    if (made[key].contains("gateway")) address["gateway"] = made[key]["gateway"];
    made["ips"].push_back(address);
    for (const json& route : made[key].value("routes", json::array())) {
      made["routes"].push_back(route);
    }
    made.erase(key);
  }
  return made;
}

std::vector<std::string> addresses_in(const json& result) {
  std::vector<std::string> list;
  const json newest = in_newest(result);
  for (const json& address : newest["ips"]) list.push_back(address.value("address", ""));
  std::ranges::sort(list);
  return list;
}

}  // namespace conformance
