#include "fuzz/oracle.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <typeinfo>

#include "base/best_effort.h"
#include "base/error.h"
#include "base/text.h"
#include "json/parse.h"
#include "json/reader.h"
#include "netns/netns.h"

namespace cni::fuzz {
namespace {

// What an exception is that nobody expects; nothing for those that name their cause.
std::optional<std::string> find_surprise(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error&) {
  } catch (const SeveralFailures&) {
  } catch (const json::ValueError&) {
  } catch (const json::SyntaxError&) {
  } catch (const netns::InvalidNetns&) {
  } catch (const Busy&) {
  } catch (const SystemError&) {
  } catch (const std::exception& other) {
    return std::string(typeid(other).name()) + ": " + other.what();
  }
  return std::nullopt;
}

void require_printable(const Error& error) {
  const std::string text = json::pretty(error_document(error, kNewestVersion));
  const json::Value document = json::parse(text);
  const auto again = parse_error_document(document);
  require(again.has_value(), "an error reads back: " + text);
  require(again->code() == error.code(), "an error keeps its code: " + text);
  require(!std::string_view(error.what()).empty(), "an error says something");
}

}  // namespace

void require(bool holds, const std::string& promise) {
  if (!holds) throw Violation(promise);
}

bool accepts(const std::function<void()>& parse, std::initializer_list<Code> codes) {
  try {
    parse();
    return true;
  } catch (const Violation&) {
    throw;
  } catch (...) {
    const auto failure = std::current_exception();
    const auto surprise = find_surprise(failure);
    require(!surprise, "no exception but our own: " + surprise.value_or(""));
    const Error error = to_error(failure);
    require_printable(error);
    require(std::ranges::find(codes, error.code()) != codes.end(),
            "an error has a code that fits: " +
                std::to_string(static_cast<unsigned>(error.code())) + " " + error.what());
    return false;
  }
}

}  // namespace cni::fuzz
