#include "output.h"

#include <fmt/format.h>
#include <unistd.h>

#include "base/best_effort.h"
#include "base/file.h"
#include "base/text.h"
#include "protocol/error.h"

namespace cni::cnictl {
namespace {

double milliseconds(std::chrono::microseconds span) {
  return static_cast<double>(span.count()) / 1000.0;
}

std::chrono::microseconds total(const std::vector<Step>& steps) {
  std::chrono::microseconds sum{};
  for (const Step& step : steps) sum += step.took;
  return sum;
}

// CNI spec 1.1.0, section "Error".
std::string_view meaning(Code code) {
  switch (code) {
    case Code::kIncompatibleVersion:
      return "incompatible CNI version";
    case Code::kUnsupportedField:
      return "unsupported field in the configuration";
    case Code::kUnknownContainer:
      return "container unknown, no clean-up needed";
    case Code::kInvalidEnvironment:
      return "invalid environment variables";
    case Code::kIoFailure:
      return "input or output failed";
    case Code::kDecodingFailure:
      return "content cannot be decoded";
    case Code::kInvalidConfig:
      return "invalid network configuration";
    case Code::kInvalidNetns:
      return "network namespace cannot be used";
    case Code::kTryAgainLater:
      return "try again later";
    case Code::kNotAvailable:
      return "plugin not available";
    case Code::kLimitedConnectivity:
      return "plugin not available, existing containers affected";
    case Code::kInternal:
      return "internal error";
  }
  constexpr unsigned kFirstOfPlugins = 100;
  return static_cast<unsigned>(code) < kFirstOfPlugins ? "reserved by the CNI spec"
                                                       : "the plugin's own";
}

std::string interface_line(const Interface& interface) {
  std::string line = fmt::format("  interface  {}", interface.name);
  if (!interface.mac.empty()) line += fmt::format(", {}", interface.mac);
  if (interface.mtu) line += fmt::format(", mtu {}", *interface.mtu);
  if (!interface.pci_id.empty()) line += fmt::format(", pci {}", interface.pci_id);
  if (!interface.socket_path.empty()) line += fmt::format(", socket {}", interface.socket_path);
  return line +
         (interface.sandbox.empty() ? ", host\n" : fmt::format(", in {}\n", interface.sandbox));
}

std::string address_line(const IpConfig& ip, const Result& result) {
  std::string line = fmt::format("  address    {}", ip.address.text());
  if (ip.interface) line += fmt::format(" on {}", result.interfaces.at(*ip.interface).name);
  if (ip.gateway) line += fmt::format(", gateway {}", ip.gateway->text());
  return line + "\n";
}

std::string route_line(const Route& route) {
  std::string line = fmt::format("  route      {}", route.destination.text());
  if (route.gateway) line += fmt::format(" via {}", route.gateway->text());
  if (route.table) line += fmt::format(", table {}", *route.table);
  if (route.priority) line += fmt::format(", priority {}", *route.priority);
  if (route.mtu) line += fmt::format(", mtu {}", *route.mtu);
  if (route.advmss) line += fmt::format(", advmss {}", *route.advmss);
  if (route.scope) line += fmt::format(", scope {}", *route.scope);
  return line + "\n";
}

std::string dns_line(const Dns& dns) {
  std::vector<std::string> parts;
  const auto add = [&](std::string_view what, const std::vector<std::string>& values) {
    if (!values.empty()) parts.push_back(fmt::format("{} {}", what, fmt::join(values, " ")));
  };
  add("nameservers", dns.nameservers);
  if (!dns.domain.empty()) add("domain", {dns.domain});
  add("search", dns.search);
  add("options", dns.options);
  return fmt::format("  dns        {}\n", fmt::join(parts, ", "));
}

}  // namespace

void print(const std::string& text) {
  write_all(STDOUT_FILENO, text, "stdout");
}

void print_error(const std::string& text) {
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

void print_json(const json::Value& document) {
  print(json::pretty(document) + "\n");
}

std::string result_lines(const Result& result) {
  std::string lines;
  for (const Interface& interface : result.interfaces) lines += interface_line(interface);
  for (const IpConfig& ip : result.ips) lines += address_line(ip, result);
  for (const Route& route : result.routes) lines += route_line(route);
  if (!result.dns.empty()) lines += dns_line(result.dns);
  return valid_utf8(lines);
}

std::string steps_text(const std::vector<Step>& steps) {
  std::string text;
  for (const Step& step : steps) {
    text += fmt::format("{} {:.1f} ms, ", step.type, milliseconds(step.took));
  }
  return fmt::format("{}in all {:.1f} ms", text, milliseconds(total(steps)));
}

json::Value steps_document(const std::vector<Step>& steps) {
  json::Value list = json::Value::array();
  for (const Step& step : steps) {
    json::Value document = json::Value::object();
    document["type"] = step.type;
    document["milliseconds"] = milliseconds(step.took);
    list.push_back(std::move(document));
  }
  return list;
}

json::Value target_document(const NetList& list, const Target& target) {
  json::Value document = json::Value::object();
  document["networkName"] = list.name;
  document["containerID"] = target.attachment.container_id;
  document["ifname"] = target.attachment.ifname;
  document["netns"] = target.netns;
  return document;
}

std::string failure_lines(const std::exception_ptr& failure) {
  std::string heading = "cnictl";
  try {
    std::rethrow_exception(failure);
  } catch (const PluginFailure& plugin) {
    heading = fmt::format("{} failed in plugin {} of {}, {}", cni::text(plugin.verb()),
                          plugin.position(), plugin.count(), valid_utf8(plugin.type()));
  } catch (...) {
    // to_error() below knows every other kind.
  }
  const Error error = to_error(failure);
  std::string lines = fmt::format("{}: {}\n  code       {}, {}\n", heading, error.what(),
                                  static_cast<unsigned>(error.code()), meaning(error.code()));
  if (!error.details().empty()) lines += fmt::format("  details    {}\n", error.details());
  return valid_utf8(lines);
}

std::string_view text(Rollback rollback) {
  switch (rollback) {
    case Rollback::kNone:
      return "none";
    case Rollback::kDone:
      return "done";
    case Rollback::kFailed:
      return "failed";
    case Rollback::kUnwanted:
      return "unwanted";
    case Rollback::kAttached:
      return "attached before";
  }
  return "";
}

std::string rollback_line(Rollback rollback) {
  switch (rollback) {
    case Rollback::kNone:
      return "";
    case Rollback::kDone:
      return "  roll-back  DEL was called for the whole list\n";
    case Rollback::kFailed:
      return "  roll-back  failed\n";
    case Rollback::kUnwanted:
      return "  roll-back  none: --no-rollback\n";
    case Rollback::kAttached:
      return "  roll-back  none: this attachment was there before; `cnictl del` removes it\n";
  }
  return "";
}

json::Value failure_document(const std::exception_ptr& failure) {
  json::Value document = error_document(to_error(failure), kNewestVersion);
  try {
    std::rethrow_exception(failure);
  } catch (const PluginFailure& plugin) {
    document["verb"] = cni::text(plugin.verb());
    document["plugin"] = json::Value::object();
    document["plugin"]["type"] = plugin.type();
    document["plugin"]["position"] = plugin.position();
    document["plugin"]["count"] = plugin.count();
  } catch (...) {
    // The error object says it all.
  }
  return document;
}

}  // namespace cni::cnictl
