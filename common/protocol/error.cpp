#include "protocol/error.h"

#include <fmt/format.h>

#include <cerrno>
#include <new>

#include "base/best_effort.h"
#include "base/error.h"
#include "json/parse.h"
#include "json/reader.h"
#include "netns/netns.h"

namespace cni {

Error to_error(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    return error;
  } catch (const SeveralFailures& several) {
    return Error(to_error(several.first()).code(), several.what());
  } catch (const json::ValueError& error) {
    return Error(Code::kInvalidConfig, error.what(), error.place());
  } catch (const json::SyntaxError& error) {
    return Error(Code::kDecodingFailure, error.what());
  } catch (const netns::InvalidNetns& error) {
    return Error(Code::kInvalidNetns, error.what());
  } catch (const Busy& error) {
    return Error(Code::kTryAgainLater, error.what());
  } catch (const IoError& error) {
    return Error(Code::kIoFailure, error.what());
  } catch (const std::bad_alloc&) {
    return Error(Code::kInternal, "out of memory");
  } catch (const std::exception& error) {
    return Error(Code::kInternal, error.what());
  } catch (...) {
    return Error(Code::kInternal, "unknown failure");
  }
}

json::Value error_document(const Error& error, Version version) {
  json::Value document = json::Value::object();
  document["cniVersion"] = text(version);
  document["code"] = static_cast<unsigned>(error.code());
  document["msg"] = error.what();
  if (!error.details().empty()) document["details"] = error.details();
  return document;
}

std::optional<Error> parse_error_document(const json::Value& document) {
  if (!document.is_object()) return std::nullopt;
  try {
    const json::Reader reader(document);
    const auto code = reader["code"].find_integer(0, 0xffffffff);
    const auto message = reader["msg"].find_string();
    if (!code && !message) return std::nullopt;
    // Code 0 says nothing; the failure stays one of ours.
    const auto known = static_cast<Code>(code.value_or(0));
    return Error(known == Code{} ? Code::kInternal : known, message.value_or(""),
                 reader["details"].string_or(""));
  } catch (const json::ValueError&) {
    return std::nullopt;
  }
}

}  // namespace cni
