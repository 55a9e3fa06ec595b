// What cnictl reads: lists and single configurations, and its cache.

#include "cnictl/cache.h"
#include "cnictl/encode.h"
#include "cnictl/lint_document.h"
#include "cnictl/net_list.h"
#include "fuzz/oracle.h"
#include "fuzz/targets.h"
#include "json/parse.h"

namespace cni::fuzz {
namespace {

void check_list(const cnictl::NetList& list) {
  require(!list.plugins.empty(), "a list has plugins");
  for (const cnictl::PluginConf& plugin : list.plugins) {
    require(!plugin.type.empty(), "a plugin has a type");
  }
  const json::Value text = json::parse(list.text);
  require(text.is_object(), "a list is kept as an object");
  accepts([&] { list.version(); }, {Code::kIncompatibleVersion});
}

}  // namespace

void cnictl_documents(std::string_view input) {
  const std::string text(input);
  for (const char* file : {"/nowhere/x.conflist", "/nowhere/x.conf"}) {
    for (const cnictl::Finding& finding :
         cnictl::lint_document(text, {.file = file, .cni_path = ""})) {
      require(!finding.sentence.empty(), "a finding is a sentence");
    }
  }
  accepts([&] { check_list(cnictl::parse_list(text, "/nowhere/x.conflist")); }, kConfigCodes);
  accepts([&] { check_list(cnictl::wrap_single(text, "/nowhere/x.conf")); }, kConfigCodes);
  if (const auto cached = cnictl::parse_cached(text)) {
    const auto again = cnictl::parse_cached(cnictl::render_cached(*cached));
    require(again && again->network == cached->network && again->args == cached->args &&
                again->attachment == cached->attachment,
            "what is cached reads back");
  }
}

}  // namespace cni::fuzz
