// masquerade: what a container sends out of its subnet leaves the host with an address of the host.
//
// Chained: it makes no interface, takes the addresses of the container from the previous result and
// passes that on as it is. An attachment leaves on the host one element per address, or the rules
// of `"ipMasq": true` where iptables keeps them (common/masquerade). DEL and GC need neither stored
// state nor the container's namespace.

#include "masquerade/masquerade.h"

#include "protocol/error.h"
#include "protocol/plugin.h"

namespace cni {
namespace {

Result add(const Request& request, Undo& undo) {
  const masquerade::Config config = masquerade::parse_config(request.conf);
  Result result = request.conf.get_prev_result();
  masquerade::add(request, result, config, undo);
  return result;
}

void check(const Request& request) {
  const masquerade::Config config = masquerade::parse_config(request.conf);
  const Result previous = request.conf.get_prev_result();
  attachment::Differences differences;
  masquerade::check(request, previous, config, differences);
  differences.finish();
}

void del(const Request& request) {
  masquerade::remove(request);
}

void status(const Request& request) {
  const masquerade::Config config = masquerade::parse_config(request.conf);
  if (const auto obstacle = masquerade::find_obstacle(config)) {
    throw Error(Code::kNotAvailable, *obstacle);
  }
}

void gc(const Request& request) {
  masquerade::collect(request.conf.name(),
                      request.conf.find_valid_attachments().value_or(std::vector<Attachment>{}));
}

}  // namespace
}  // namespace cni

int main() {
  return cni::run_plugin({.name = "masquerade",
                          .add = cni::add,
                          .check = cni::check,
                          .del = cni::del,
                          .status = cni::status,
                          .gc = cni::gc});
}
